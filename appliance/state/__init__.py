"""What must not be lost: overrides, policies with every decision, and the account of what left for KSN.

- `environment`  the file state.lmdb: opened once, checked before, on the disk with each commit
- `record`       what a record is, and what is said where it is not what was written
- `of_tenant`    which records are whose: the index by which a tenant's are listed
- `owner`        root works in a directory as whom it belongs to
- `store`        overrides
- `audit`        every change by an administrator, written with it
- `audited`      which entries of the audit are a tenant's, and how many
- `policies`     what tenants have decided, and the whole history of it
- `tenants`      which tenants there are, and whose part of the cache is whose
- `identities`   tokens, guests that enrolled, certificates that were issued
- `tenant_names` which tenant has which name and which scope
- `positions`    how far a service's changes were heard
- `ledger`       the account of what left for KSN, chained
"""
