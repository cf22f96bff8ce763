"""Ratios against the tools that a reader knows, measured in one run: `python -m tests.benchmarks`.

In the order that a run passes:

- `__main__`    the command line: which rows, short or whole, where the report goes
- `rows`        the table of rows; each row one file that says what it measures
- `harness`     figures and their targets, alternating rounds, medians
- `data`        trees of files, digests, signatures: all made from a seed or sampled from this machine
- `yara_rules`  5,000 rules that cost what a public rule set costs
- `processes`   programs that are started, measured and stopped: CPU, memory, JSON over a pipe
- `svm`         our side: `svm serve` and `guest-stub scan` as a user runs them
- `enrolled`    guests with certificates of an SVM
- `ksn`         a Private KSN, and what an SVM is told of it
- `theirs`      the other side's servers: redis-server, clamd
- `drivers`     small programs that run one side of a row in a process of its own
- `report`      the table for people and bench.json

docs/benchmarks.md says how to read the figures. Nothing here decides whether a test passes.
"""
