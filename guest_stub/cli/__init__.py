"""What a person in a guest types.

- `arguments`  the words of the command line, read into options
- `scan`       `guest-stub scan PATH...`: wires a scan, shows its progress, ends it on a signal
- `patience`   how a scan waits for its slot
- `status`     `guest-stub status`: whether an SVM answers, and what is kept
- `ksn`        `guest-stub ksn`: whether the Kaspersky Security Network is used for this guest, and how
- `quarantine`, `quarantine_words`  `guest-stub quarantine list|show|restore|delete|export`, and its arguments
- `enrol`, `identity`, `identity_words`  `guest-stub enrol`, `renew`, `identity`: who this guest is
- `identity_findings`, `host_findings`  what `doctor` says of that, and of the host's port
- `check_url`  `guest-stub check-url URL...`: what is known of web addresses
"""
