"""Scans on the Attach stream: what the SVM says of them within the stub's bounds, and what is said to it."""

from lightagent.v1 import guest_pb2

from guest_stub.svm_link.values import (
    MAX_PATH_BYTES,
    MAX_SCAN_PATHS,
    MAX_TEXT_BYTES,
    SCAN_BYTES,
    ScanSlot,
    ScanStatus,
    ScanTask,
    cut,
)

_MOST_COUNT = (1 << 64) - 1


def read_task(said: guest_pb2.ScanTask) -> ScanTask | None:
    """The task; None for one that has no name to answer under. One over the bounds is not `sound`."""
    if len(said.scan) != SCAN_BYTES:
        return None
    paths = tuple(said.paths[:MAX_SCAN_PATHS])
    sound = len(said.paths) == len(paths) and all(map(_is_sound, paths))
    return ScanTask(said.scan, paths if sound else (), said.cancelled, sound)


def _is_sound(path: bytes) -> bool:
    return path.startswith(b"/") and len(path) <= MAX_PATH_BYTES and b"\0" not in path


def read_slot(said: guest_pb2.ScanSlot) -> ScanSlot | None:
    """The slot; None for one of no scan."""
    return ScanSlot(said.scan, said.granted) if len(said.scan) == SCAN_BYTES else None


def status_message(status: ScanStatus) -> guest_pb2.ScanStatus:
    """The status as the wire has it."""
    return guest_pb2.ScanStatus(
        scan=status.scan,
        state=guest_pb2.ScanState.ValueType(int(status.state)),
        files=min(status.files, _MOST_COUNT),
        bytes=min(status.bytes, _MOST_COUNT),
        malicious=status.malicious,
        suspicious=status.suspicious,
        unanswered=status.unanswered,
        expected_files=min(status.expected_files, _MOST_COUNT),
        text=cut(status.text, MAX_TEXT_BYTES),
    )
