"""A Private KSN server of one's own: the program `private-ksn`. It knows nothing of the SVM.

- `subjects`    what can be asked about, in one normal form
- `reputation`  zones, and what is known
- `records`     the bytes of it
- `feed_file`   one feed's file, written once
- `store`       which files count, the operator's words, the changes of zones
- `sources`     what a format gives; `formats` has one file for each
- `flips`       which zones change when a feed does
- `importing`   from a source to what counts, in one step; `bad_lines` names what was not taken
- `keys`, `rate`            who may ask, and how often
- `answers`, `service`      the OpenTIP dialect
- `submissions`, `usage`      files and figures that SVMs send, within budgets
- `serving`     sockets, TLS, signals, /metrics
- `settings`    private-ksn.example.toml has them all
- `program`, `console`, `progress`    what an operator types and sees
"""
