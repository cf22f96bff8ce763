"""The cache of verdicts, and who brings in what it lacks.

- `record`         a verdict as bytes, with a version in front and a checksum behind
- `environment`    the LMDB environment: opened by one process, a damaged file set aside
- `store`          lookups inline, writes in batches, bounded, never failing a request
- `single_flight`  one upload and one scan for each unknown digest, however many ask
"""
