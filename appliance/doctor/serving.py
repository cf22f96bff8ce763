"""Whether an SVM runs on a state directory, and what it says of itself."""

from pathlib import Path

from lightagent.v1 import admin_pb2

from appliance.doctor.findings import Finding, amiss, long, note, ok

LOCKS = Path("/proc/locks")


def lock_holder(lock: Path, locks: Path = LOCKS) -> int:
    """The process that has a file locked for itself; 0 for none.

    Read from the kernel's list: to try the lock would keep out an SVM that starts meanwhile.
    """
    try:
        inode = lock.stat().st_ino
        lines = locks.read_text().splitlines()
    except OSError:
        return 0
    for line in lines:  # "1: FLOCK  ADVISORY  WRITE 4711 fe:01:131 0 EOF", "->" before one that waits
        words = line.split()
        if words[1:2] == ["FLOCK"] and words[3] == "WRITE" and words[5].rpartition(":")[2] == str(inode):
            return int(words[4])
    return 0


def serving_finding(holder: int, status: admin_pb2.GetStatusReply | None, why: str, now: float) -> Finding:
    """Whether it serves. holder: of the state's lock. status: its own; None: why it gave none, says `why`."""
    if status is not None:
        uptime = long(now - status.started.seconds)
        return ok(
            "svm", f"version {status.version} serves, for {uptime}, {len(status.guests)} guests attached"
        )
    if holder:
        return amiss("svm", f"process {holder} uses the state directory, and cannot be asked: {why}")
    return note("svm", "none serves: what only a running one knows is left out; start it by `svm serve`")
