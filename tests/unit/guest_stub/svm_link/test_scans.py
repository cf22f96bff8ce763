"""Tests of what is said of scans on Attach."""

from pathlib import Path

import pytest
from lightagent.v1 import guest_pb2

from guest_stub.svm_link.scans import read_slot, read_task, status_message
from guest_stub.svm_link.values import ScanSlot, ScanState, ScanStatus, ScanTask
from tests.support.held_files import Listener, attached, until

SCAN = bytes(range(16))


def test_a_task_is_read() -> None:
    """Its paths, and whether it is called off."""
    paths = [b"/a", b"/\xff"]
    assert read_task(guest_pb2.ScanTask(scan=SCAN, paths=paths)) == ScanTask(SCAN, tuple(paths))
    assert read_task(guest_pb2.ScanTask(scan=SCAN, cancelled=True)) == ScanTask(SCAN, cancelled=True)


@pytest.mark.parametrize(
    "paths", [[b"/a"] * 65, [b"relative"], [b""], [b"/" + b"a" * 4096], [b"/a\0b"], [b"/a", b"b"]]
)
def test_a_task_over_the_bounds_is_not_sound(paths: list[bytes]) -> None:
    """It is no scan of everything, and has a name to say so under."""
    assert read_task(guest_pb2.ScanTask(scan=SCAN, paths=paths)) == ScanTask(SCAN, sound=False)


@pytest.mark.parametrize("scan", [b"", b"short", bytes(17)])
def test_what_has_no_name_is_passed_over(scan: bytes) -> None:
    """Nothing could be said of it."""
    assert read_task(guest_pb2.ScanTask(scan=scan)) is None
    assert read_slot(guest_pb2.ScanSlot(scan=scan, granted=True)) is None


def test_a_status_fits_the_wire() -> None:
    """Its text is cut; a count that no field holds is the largest that it does."""
    status = ScanStatus(SCAN, ScanState.RUNNING, files=1, bytes=1 << 70, text="é" * 500)
    message = status_message(status)
    assert (message.state, message.files, message.bytes) == (guest_pb2.SCAN_STATE_RUNNING, 1, (1 << 64) - 1)
    assert message.text == "é" * 256


async def test_tasks_and_slots_reach_the_listener(tmp_path: Path) -> None:
    """And a status the SVM."""
    listener = Listener()
    async with attached(tmp_path, listener=listener) as (link, server):
        await server.tell(guest_pb2.AttachReply(scan_task=guest_pb2.ScanTask(scan=b"none")))
        await server.tell(guest_pb2.AttachReply(scan_slot=guest_pb2.ScanSlot(scan=b"none")))
        await server.tell(guest_pb2.AttachReply(scan_task=guest_pb2.ScanTask(scan=SCAN)))
        await server.grant(SCAN, granted=False)
        await until(lambda: len(listener.scans) == 2)
        assert listener.scans == [ScanTask(SCAN), ScanSlot(SCAN, granted=False)]
        await link.send_scan_status(ScanStatus(SCAN, ScanState.DONE))
        await until(lambda: server.states(SCAN) == ["DONE"])
