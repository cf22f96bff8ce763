"""Records of a scan in their file."""

import os
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.disk_reader.protocol import RECORD_BYTES
from appliance.hypervisor.disks import records
from appliance.hypervisor.disks.records import Base, Damaged, DiskKept, Recording, base_of, opened
from appliance.hypervisor.files import StateUnusable

BASE = Base("kvm-light-agent-1", "1 2 3", (DiskKept("vda", "/a.qcow2", (("/b.raw", 5, 1 << 30, 17),)),))


def key(number: int) -> bytes:
    """A layout, or a digest."""
    return number.to_bytes(32)


def write(path: Path, *pairs: tuple[int, int]) -> None:
    """Keep records."""
    recording = Recording(path)
    for layout, sha256 in pairs:
        recording.add(key(layout), key(sha256))
    recording.finish(BASE)
    recording.close()


def read(path: Path) -> list[tuple[int, int]]:
    """What is kept."""
    with ExitStack() as stack:
        kept = opened(path, stack)
        assert kept is not None
        assert kept.base == base_of(path) == BASE
        data = os.pread(kept.fd, kept.count * RECORD_BYTES, kept.offset)
    return [
        (int.from_bytes(data[at : at + 32]), int.from_bytes(data[at + 32 : at + 64]))
        for at in range(0, len(data), RECORD_BYTES)
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    pairs=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2)), max_size=40), at_once=st.integers(1, 9)
)
def test_each_layout_is_kept_once_and_in_order(
    tmp_path: Path, pairs: list[tuple[int, int]], at_once: int
) -> None:
    """However many are sorted at once; one that was read as two contents is not kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "_AT_ONCE", at_once)
        write(tmp_path / "a.scan", *pairs)
    kept = read(tmp_path / "a.scan")
    assert all(one[0] < other[0] for one, other in pairwise(kept))
    contents = {layout: {sha256 for each, sha256 in pairs if each == layout} for layout, _ in pairs}
    assert dict(kept) == {layout: min(told) for layout, told in contents.items() if len(told) == 1}


def test_what_is_not_there_is_none_and_nothing_half_made_is_left(tmp_path: Path) -> None:
    """A scan that is killed leaves no file, and what was there before stands."""
    with ExitStack() as stack:
        assert opened(tmp_path / "a.scan", stack) is None
    write(tmp_path / "a.scan", (1, 2))
    recording = Recording(tmp_path / "a.scan")
    recording.add(key(5), key(6))
    assert [each.name for each in tmp_path.iterdir()] == ["a.scan"]
    recording.close()
    assert read(tmp_path / "a.scan") == [(1, 2)]
    assert (tmp_path / "a.scan").stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_damaged_anywhere_is_refused(tmp_path: Path) -> None:
    """Each byte of it counts, and its length."""
    path = tmp_path / "a.scan"
    write(path, (1, 2), (3, 4))
    good = path.read_bytes()
    broken = [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in range(0, len(good), 7)]
    for data in (*broken, good[:-1], good + b"x", b"", b"x" * 40):
        path.write_bytes(data)
        with ExitStack() as stack, pytest.raises(Damaged):
            opened(path, stack)
    for data in (b"", b"x" * 100, good[:30]):
        path.write_bytes(data)
        with pytest.raises(Damaged):
            base_of(path)


def test_more_records_than_there_is_room_for_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such files are read again."""
    monkeypatch.setattr(records, "MOST_RECORDS", 2)
    write(tmp_path / "a.scan", (1, 2), (3, 4), (5, 6))
    assert read(tmp_path / "a.scan") == [(1, 2), (3, 4)]
    monkeypatch.setattr(records, "_MAX_HEAD_BYTES", 10)
    monkeypatch.setattr(records, "MOST_RECORDS", 1)
    with ExitStack() as stack, pytest.raises(Damaged, match="longer than it can be"):
        opened(tmp_path / "a.scan", stack)


def test_a_state_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    """And so is one that cannot be read."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StateUnusable, match="see that svm-host may write there"):
        Recording(tmp_path / "file" / "a.scan")
    (tmp_path / "a.scan").mkdir()
    with ExitStack() as stack, pytest.raises(StateUnusable):
        opened(tmp_path / "a.scan", stack)
    recording = Recording(tmp_path / "a.scan")
    with pytest.raises(StateUnusable):
        recording.finish(BASE)
    recording.close()
    assert not (tmp_path / ".a.scan.new").exists()
