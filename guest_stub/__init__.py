"""The light agent in a VM: looks at files, asks the SVM about them by digest, remembers what it said.

It has no engine and no signatures. What stands here, in the order that a file passes:

- `__main__`, `cli`   `guest-stub scan PATH...`: arguments in, exit code out
- `config`            the stub's settings
- `on_demand`         a scan that somebody ordered: the parts below, bounded and wired together
- `walking`           its first thread: meets files, answers what is known, hands on the rest
  - `walk`, `descent` directory trees by descriptors, in batches; the way down and back
  - `mounts`          kinds of file systems, and what decisions on them are worth
  - `excludes`        globs that leave things out
  - `links`           of the names of a file, one to look at it under
- `decisions`         what was decided before, in an LMDB of the stub's own
  - `records`         the bytes of a kept decision
  - `unsynced`        whether a store written without fsync can be trusted
- `looking`           opens and hashes files, again where they change meanwhile
  - `hashing`         SHA-256 of many files in one go
  - `reading`         leaves access times and page cache as found
- `asking`            batches of digests to the SVM, asked again where it had no room
- `line`              the way to the SVM over its restarts
- `svm_link`          one connection to one SVM: Attach, Check, Scan; the only importer of grpc
- `keeping`           new decisions into the store, revoked ones out of it
- `turn`              its slot: asked for, given and taken back by the SVM
  - `pausing`         where its threads wait meanwhile

Files as they are opened, `guest-stub run`:

- `on_access`         the kernel's events, one answer to each, what comes afterwards; its own map
- `standing`          the line to the SVM for the life of a daemon
- `detected`          contents that are known to be bad, while nobody can be asked
- `journal`           what was let through while nobody could say what it is
- `outbox`            what happened and the SVM has not kept yet
  - `outbox_lines`    the bytes of it
- `sought`            files to be looked for, whose content may be malicious now
- `ordered`           scans that an administrator of the SVM ordered; its own map
- `service`           what systemd is told

Who this guest is to its SVM:

- `identity`          its key and certificate: got by a token, renewed in time; its own map
- `secret`            the keys of the stub, which are never sent

What is done about a detection:

- `remediation`       seals files in the quarantine, takes them away by descriptor, puts them back

Beside the way:

- `decision`, `outcome`, `ends`   the words: a file's identity, how a question ends, how an entry ends
- `found`, `version`              a file that a walk met; which stub this is
- `room`, `manners`, `limits`     bounds: files on their way; priority and rate; open files
- `pages`                         memory of mapped files, and what was freed, given back
- `lean`                          what is not loaded, since the stub never uses it
- `tally`, `report`, `progress`, `console`   counts, lines for people or JSON, the progress line, and where
- `expecting`         how many files a walk will meet
"""
