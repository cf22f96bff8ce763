"""The table of rows, in the order in which a whole run takes them.

- `known_digests`  verdicts a second for known digests, against LMDB alone and against Redis
- `single_digest`  the time of one known digest, against a bare gRPC echo
- `cold_scan`      the first guest's scan, against YARA-X alone
- `later_guest`    a later guest's scan of the same tree, against hashing it
- `rescan`         the same guest's next scan, against walking the tree
- `ten_guests`     ten guests with one tree: bytes to engines; CPU against ten clamdscan
- `memory`         stub and SVM
- `ksn_lookups`    files that a Private KSN knows: asked over HTTP, and from the cache
- `ksn_answers`    how long a guest waits where KSN is healthy, slow, hanging, dead; against KSN off
- `private_ksn`    the service by itself: import, and answers against a bare handler
- `on_access`      opening files under `guest-stub run`, against opening them unwatched
- `revocation`     until 100 attached stubs know that a file turned out to be malicious
- `crowded`        200 guests beside five hostile ones, and what comes and goes leaves behind
- `idle`           CPU and memory of `guest-stub run`: when nothing happens, and after 100,000 opens
- `building`       a C project is built under `guest-stub run`, against building it unwatched
- `clamonacc`      the same opens and build, against clamonacc in its place
- `image_scan`     `svm-host scan-image`, against reading and hashing the image with the bare library
- `real_machines`  an SVM that is deployed, and upgraded; a guest that enrols: emulated; not in a short run
- `usr`            the tree that two of them share
"""

from tests.benchmarks.harness import Row
from tests.benchmarks.rows import (
    building,
    clamonacc,
    cold_scan,
    crowded,
    idle,
    image_scan,
    known_digests,
    ksn_answers,
    ksn_lookups,
    later_guest,
    memory,
    on_access,
    private_ksn,
    real_machines,
    rescan,
    revocation,
    single_digest,
    ten_guests,
)

ROWS = (
    Row("known-digests-vs-lmdb", known_digests.against_lmdb),
    Row("known-digests-vs-redis", known_digests.against_redis),
    Row("single-digest-p50", single_digest.run),
    Row("cold-scan-cpu", cold_scan.run),
    Row("later-guest-scan", later_guest.run),
    Row("rescan-unchanged", rescan.run),
    Row("ten-guests-engine-bytes", ten_guests.engine_bytes),
    Row("ten-guests-vs-clamdscan", ten_guests.against_clamdscan),
    Row("stub-memory", memory.stub),
    Row("svm-memory", memory.svm),
    Row("ksn-lookups", ksn_lookups.run),
    Row("ksn-answer-p99-healthy", ksn_answers.healthy),
    Row("ksn-answer-p99-slow", ksn_answers.slow),
    Row("ksn-answer-p99-hanging", ksn_answers.hanging),
    Row("ksn-answer-p99-dead", ksn_answers.dead),
    Row("private-ksn", private_ksn.run),
    Row("on-access", on_access.run),
    Row("revocation", revocation.run),
    Row("image-scan", image_scan.run),
    Row("crowd", crowded.floods),
    Row("crowd-tls", crowded.floods_over_tls),
    Row("reconnects", crowded.reconnects),
    Row("on-access-idle", idle.run),
    Row("build-block-exec", building.block_exec),
    Row("build-block-open", building.block_open),
    Row("clamonacc", clamonacc.run),
    Row("deploy-to-healthy", real_machines.run),
    Row("upgrade-away", real_machines.upgrade),
)
