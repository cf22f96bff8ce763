"""What must not be lost: overrides and the audit of who changed them.

- `store`  the LMDB environment state.lmdb, written to the disk before a change counts
"""
