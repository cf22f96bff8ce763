"""What an administrator types: the program `svm`, one file per noun.

- `program`       reads the command line, runs a command, turns failures into one line and an exit code
- `console`       what a command gets: streams, environment, clock; tables and safe text
- `times`         "30d", "12h" and ISO times, and how times are shown
- `serve`         svm serve
- `check_config`  svm check-config
- `status`        svm status
- `verdicts`      svm verdicts show|set|clear|audit
- `signatures`    svm signatures list|reload|test
- `cache`         svm cache stats

Each command file has `add(commands)`, which enters its arguments and the function that runs it.
"""
