"""The security virtual machine: the program `svm`.

In the order that a question passes:

- `cli`         what an administrator types, one file per noun
- `config`      frozen settings from one TOML file and the environment
- `rpc`         gRPC services for guests and administrators; who the caller is
- `protection`  the use case: look up, single flight, content, engines, verdict
- `verdicts`    the cache of verdicts (LMDB) and the single flight
- `scanning`    content: spool, sandboxed workers, engines, unpacking
- `ksn`         reputation services: what may be asked, and how; nothing uses it yet
- `state`       what must not be lost: overrides and the audit (LMDB, fsync)
- `console`     metrics and logs
- `domain`      the words that all of the above use: frozen, standard library only, no I/O
- `composition` wires it together; the only place that knows every part
"""
