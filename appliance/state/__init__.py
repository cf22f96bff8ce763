"""What must not be lost: overrides, policies with every decision, and the account of what left for KSN.

- `environment`  the file state.lmdb: opened once, checked before, on the disk with each commit
- `store`        overrides and their audit
- `policies`     what tenants have decided, and the whole history of it
- `tenant_names` which tenant has which name and which scope
- `positions`    how far a service's changes were heard
- `ledger`       the account of what left for KSN, chained
"""
