"""Enrols, or renews, and is killed at the n-th line of what keeps an identity, for every n; run by
test_guest_identity_kill.

    python -m tests.support.kill_enrol STORY DIRECTORY HOST PORT ENROLMENT_PORT FINGERPRINT

STORY: "enrol", by the tokens "t1", "t2", ..., or "renew". For each n it prints one JSON object: what is on
the disk after the kill, and what after the same was done again.
"""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from guest_stub.identity import enrolling, store
from guest_stub.identity.enrolling import Machine, Place, enrol_guest, renew_guest
from guest_stub.identity.store import IdentityStore

_TRACED = {str(Path(module.__file__ or "")) for module in (enrolling, store)}
MACHINE = Machine(b"m" * 32, "guest-1")


def kill_at(line: int, action: Callable[[], None]) -> None:
    """Run the action; kill this process before the so many-th line of the code."""
    left = line

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in _TRACED:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    action()
    sys.settrace(None)


def act(story: str, directory: Path, place: Place, token: str) -> None:
    """What is interrupted."""
    if story == "enrol":
        asyncio.run(enrol_guest(IdentityStore(directory), place, token, MACHINE))
    else:
        asyncio.run(renew_guest(IdentityStore(directory), f"tcp:{place.svm}", MACHINE, True))


def state(directory: Path) -> dict[str, Any]:
    """What a start would find. guest: "" for nobody. whole: whether key and certificate belong together."""
    kept = IdentityStore(directory)
    identity = kept.read()
    left = sorted(os.listdir(kept.directory)) if kept.directory.exists() else []
    if identity is None:
        return {"guest": "", "whole": True, "certificate": "", "left": left}
    key = load_pem_private_key(identity.key.encode(), None)
    certificate = load_pem_x509_certificate(identity.certificate.encode())
    whole = key.public_key() == certificate.public_key()
    return {"guest": identity.guest, "whole": whole, "certificate": identity.certificate, "left": left}


def in_child(action: Callable[[], None]) -> bool:
    """Whether it came to its end."""
    child = os.fork()
    if child == 0:
        action()
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return not os.WIFSIGNALED(status)


def main(story: str, directory: Path, place: Place) -> None:
    """Until a child ends by itself."""
    line, ended = 0, False
    while not ended:
        line += 1
        here, token = directory / str(line), f"t{line}"
        if (directory / "before").exists():
            shutil.copytree(directory / "before", here)
        ended = in_child(lambda: kill_at(line, lambda: act(story, here, place, token)))  # noqa: B023
        killed = state(here)
        assert in_child(lambda: act(story, here, place, token))  # noqa: B023 - called before the next round
        print(json.dumps({"line": line, "ended": ended, "killed": killed, "again": state(here)}), flush=True)


if __name__ == "__main__":
    told = sys.argv[3:]
    main(sys.argv[1], Path(sys.argv[2]), Place(told[0], int(told[1]), int(told[2]), bytes.fromhex(told[3])))
