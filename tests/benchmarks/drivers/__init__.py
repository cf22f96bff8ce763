"""Programs that run one side of a row in a process of its own: one line of JSON in, one line out.

- `ask_svm`      known digests through guest_stub.svm_link: verdicts a second, time of a single one
- `get_lmdb`     the same keys from LMDB, alone
- `mget_redis`   the same keys from a Redis server
- `echo_server`  a bare grpc.aio bidi echo
- `ask_echo`     the time of one message there and back
- `yara_files`   bare YARA-X on files, one after another
- `hash_tree`    SHA-256 of every file of a tree, as a whole command
- `stat_tree`    os.walk and lstat of a tree, as a whole command
- `attached`     a stub's process that is attached and has nothing to do
- `ask_files`    files through guest_stub.svm_link, to their end: how many a second, when content is asked for
- `stand_in_ksn` a reputation service that knows nothing, and may be slow, hang or be dead
- `ask_http`     questions over plain HTTP, several connections, with next to nothing in the client
- `bare_http`    an aiohttp handler that always gives the same answer
- `guests_told`  links of several stubs, and when each hears of a revocation
- `crowd`        well-behaved guests that ask now and then: how long each answer took
- `flood`        a hostile guest that does one thing without end
- `come_and_go`  guests that connect, ask and go
- `overrule`     an administrator who has digests called malicious
- `fill_cache`   writes verdicts into an SVM's store while that SVM is stopped
"""

import json
import sys
from collections.abc import Callable
from typing import Any


def settings() -> dict[str, Any]:
    """Return what the row handed over on the command line."""
    given: dict[str, Any] = json.loads(sys.argv[1])
    return given


def serve(answer: Callable[[dict[str, Any]], dict[str, Any]], **ready: Any) -> None:
    """Say that all is ready, then answer each line until the input ends."""
    reply(ready)
    for line in sys.stdin:
        reply(answer(json.loads(line)))


def reply(answer: dict[str, Any]) -> None:
    """Write one line."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
