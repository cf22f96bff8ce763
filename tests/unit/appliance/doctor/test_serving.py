"""Whether an SVM runs on a state directory."""

import fcntl
import os
from pathlib import Path

from lightagent.v1 import admin_pb2

from appliance.doctor.serving import lock_holder, serving_finding

NOW = 1_900_000_000


def test_who_has_the_lock_is_read_of_the_kernels_list(tmp_path: Path) -> None:
    """While this process holds it, and no longer; what is not there is held by nobody."""
    lock = tmp_path / "state.lock"
    assert lock_holder(lock) == 0
    with lock.open("w") as file:
        assert lock_holder(lock) == 0
        fcntl.flock(file, fcntl.LOCK_EX)
        assert lock_holder(lock) == os.getpid()
    assert lock_holder(lock) == 0


def test_who_waits_for_a_lock_does_not_hold_it(tmp_path: Path) -> None:
    """Lines of other kinds, and of those that wait, are passed over."""
    lock, locks = tmp_path / "state.lock", tmp_path / "locks"
    lock.touch()
    inode = lock.stat().st_ino
    locks.write_text(
        f"1: POSIX  ADVISORY  WRITE 11 fe:01:{inode} 0 EOF\n"
        f"2: FLOCK  ADVISORY  WRITE 12 fe:01:{inode}9 0 EOF\n"
        f"3: -> FLOCK  ADVISORY  WRITE 13 fe:01:{inode} 0 EOF\n"
        f"4: FLOCK  ADVISORY  READ 14 fe:01:{inode} 0 EOF\n"
    )
    assert lock_holder(lock, locks) == 0


def test_an_svm_that_cannot_be_asked_is_amiss() -> None:
    """It holds the state and does not answer; where nobody holds it, none serves."""
    assert serving_finding(4711, None, "no right", NOW).good is False
    assert "process 4711" in serving_finding(4711, None, "no right", NOW).said
    assert serving_finding(0, None, "none", NOW).good is None


def test_an_svm_that_answers_is_well() -> None:
    """Its version and how long it runs are told."""
    status = admin_pb2.GetStatusReply(version="1.2.3")
    status.started.FromSeconds(NOW - 600)
    said = serving_finding(4711, status, "", NOW)
    assert (said.good, said.said) == (True, "version 1.2.3 serves, for 10 min, 0 guests attached")
