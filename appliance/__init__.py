"""The security virtual machine: the program `svm`.

In the order that a question passes:

- `cli`         what an administrator types, one file per noun
- `config`      frozen settings from one TOML file and the environment
- `rpc`         gRPC services for guests and administrators; who the caller is
- `protection`  the use case: look up, single flight, content, engines, verdict
- `verdicts`    the cache of verdicts (LMDB) and the single flight
- `scanning`    content: spool, sandboxed workers, engines, unpacking
- `ksn`         reputation services: on whose behalf, what may be asked, and how
- `feeds`       files of feeds, as both `ksn` and a Private KSN read them
- `state`       what must not be lost: overrides, policies, the disclosure ledger (LMDB, fsync)
- `console`     metrics and logs
- `events`      what happened, kept and told
- `identity`    who is who: the authority, certificates, tokens
- `scans`, `inventory`  scans of whole guests; the machines of hosts
- `doctor`      what `svm doctor` looks at
- `packet_filter`, `first_boot`  what stands before the doors; how an SVM's image finds its settings
- `hypervisor`, `disk_reader`, `private_ksn`  programs of their own: `svm-host`, its reader of disks, a KSN
- `domain`      the words that all of the above use: frozen, standard library only, no I/O
- `control`, `ksn_control`  what administrators ask, over the parts of a running SVM
- `sight`       which entries of the cache a tenant, and its administrators, see
- `ksn_assembly`  puts KSN together from the settings
- `composition` wires it together; the only place that knows every part
"""
