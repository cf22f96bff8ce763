"""Tests of the mark beside a store that is written without fsync."""

import subprocess
import sys
from pathlib import Path

import pytest

from guest_stub.unsynced import UnsyncedMark


def test_a_new_mark_is_trusted(tmp_path: Path) -> None:
    """Where nothing was written before, nothing can be half written."""
    mark = UnsyncedMark(tmp_path / "mark", "boot-1")
    assert mark.trusted
    mark.release(synced=True)


@pytest.mark.parametrize(("boot", "synced", "trusted"), [
    ("boot-1", False, True), ("boot-2", False, False), ("boot-1", True, True), ("boot-2", True, True),
])  # fmt: skip
def test_only_a_boot_between_writing_and_syncing_breaks_trust(
    tmp_path: Path, boot: str, synced: bool, trusted: bool
) -> None:
    """A process that was killed leaves a sound store; a machine that went down may not."""
    first = UnsyncedMark(tmp_path / "mark", "boot-1")
    assert first.alone()
    first.release(synced)
    second = UnsyncedMark(tmp_path / "mark", boot)
    assert second.trusted is trusted
    second.release(synced=False)


def test_another_process_is_seen(tmp_path: Path) -> None:
    """While somebody else holds the mark, nobody is alone with it."""
    program = (
        "import sys; from pathlib import Path; from guest_stub.unsynced import UnsyncedMark\n"
        "mark = UnsyncedMark(Path(sys.argv[1]), 'boot-1'); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "mark")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == b"held\n"
        mark = UnsyncedMark(tmp_path / "mark", "boot-1")
        assert mark.trusted
        assert not mark.alone()
        mark.release(synced=False)
        other.stdin.close()


def test_a_mark_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    """The operating system's word comes through."""
    with pytest.raises(FileNotFoundError):
        UnsyncedMark(tmp_path / "nowhere" / "mark", "boot-1")
