"""What shows that the project does what it says.

- `unit`         one file for each module, in the same tree
- `integration`  several parts together, as a user or a caller meets them
- `benchmarks`   `make bench`
- `demo`         `make demo`
- `support`      what tests share
"""
