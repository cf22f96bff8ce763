"""The cache of verdicts, and who brings in what it lacks.

- `store`          lookups inline, writes in batches, bounded, never failing a request
- `hot`            a table in memory in front of LMDB
- `record`         a verdict as bytes, with a version in front and a checksum behind
- `decoded`        each distinct record is checked and decoded once
- `judged`         each distinct record is judged once, for answers to batches
- `overriding`     the administrator's word, which wins over every verdict
- `eviction`       what makes way when the cache is full
- `environment`    the LMDB environment: opened by one process, a damaged file set aside
- `pages`          whether an LMDB file is whole, found out without LMDB
- `stats`          how full the cache is, also for other processes
- `exposure`       which guests hold a digest, gathered beside the path of their questions
- `exposure_store` its file, with `exposure_record` and `known_guests`; `raw_files` is what is on its way
- `single_flight`  one upload and one scan for each unknown digest, however many ask
"""

import os

# `hot` imports numpy, which brings OpenBLAS, which would start a thread for each core when it is loaded.
# Nothing here computes with matrices.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
