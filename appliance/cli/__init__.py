"""What an administrator types: the program `svm`, one file per noun.

- `program`       reads the command line, runs a command, turns failures into one line and an exit code
- `console`       what a command gets: streams, environment, clock; tables and safe text
- `times`         "30d", "12h" and ISO times, and how times are shown
- `serve`         svm serve
- `check_config`  svm check-config
- `doctor`        svm doctor; `doctor_asking` what it asks an SVM that serves
- `packet_filter` svm packet-filter
- `status`        svm status
- `verdicts`      svm verdicts show|set|clear
- `audit`         svm audit
- `exposure`      svm verdicts exposure
- `guests`        svm guests list|files
- `events`        svm events
- `signatures`    svm signatures list|reload|test
- `cache`         svm cache stats
- `policy`        svm policy list|show|create|change|history
- `ksn`           svm ksn status|check|lookup
- `ksn_statement` svm ksn statement show, and the text that `policy` asks about
- `ksn_preview`   svm ksn preview
- `ksn_ledger`    svm ksn ledger
- `ksn_words`     what `policy` and `ksn` say in common

Each command file has `add(commands)`, which enters its arguments and the function that runs it.
"""
