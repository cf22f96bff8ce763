"""Scans that an administrator ordered, in the daemon. What stands here, in the order that one passes:

- `orders`    takes ScanTasks, has one run at a time, remembers how the last ones ended
- `running`   one of them: waits for its slot, scans, says how it ended
- `place`     pure: which trees it walks, and what is left alone
- `careful`   keeps what it learns, but nothing that is being revoked
- `findings`  hands what it detects to what acts on detections of files as they are opened

Nothing of it is kept over a restart: the SVM orders what is not over again when the daemon attaches, and the
scan begins anew. What was decided before the restart is not hashed again.
"""
