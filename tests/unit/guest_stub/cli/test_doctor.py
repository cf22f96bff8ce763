"""Tests of `guest-stub doctor`: a line for each thing, and a code."""

import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from guest_stub.cli import doctor as module
from guest_stub.cli.arguments import parse
from guest_stub.cli.doctor import doctor
from guest_stub.cli.setup import Setup, prepare
from guest_stub.on_access.fanotify import FanotifyUnavailable
from guest_stub.outbox import Outbox
from guest_stub.remediation.done import Action
from guest_stub.svm_link.values import EventKind, GuestEvent
from tests.support.descriptors import open_descriptors
from tests.support.guest_side_server import serving
from tests.support.on_access_apart import watching

MOUNTS = b"""\
20 1 8:1 / / rw - ext4 /dev/vda1 rw
21 20 0:5 / /proc rw - proc proc rw
22 20 0:40 / /net\\040work rw - nfs4 server:/ rw
"""


@pytest.fixture(autouse=True)
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine's table of mounts."""
    (tmp_path / "mountinfo").write_bytes(MOUNTS)
    monkeypatch.setattr(module, "MOUNTINFO", tmp_path / "mountinfo")
    return tmp_path / "mountinfo"


def setup_in(directory: Path) -> Setup:
    """One whose SVM would be in the directory."""
    (directory / "stub.toml").write_text("")
    words = ["doctor", "--state", str(directory / "state"), "--svm", f"unix:{directory}/svm.sock"]
    return prepare(parse([*words, "--config", str(directory / "stub.toml")]), {})


async def told(setup: Setup) -> tuple[int, dict[str, str]]:
    """The code, and the lines by what they are about."""
    lines: list[str] = []
    code = await doctor(setup, lines.append)
    return code, {line[7:].partition(":")[0]: line for line in lines}


async def test_a_machine_that_is_not_protected_is_amiss(tmp_path: Path) -> None:
    """No SVM answers, and the EICAR test file can be opened; nothing is left of it."""
    before = open_descriptors()
    code, lines = await told(setup_in(tmp_path))
    assert code == 1
    assert lines["svm"].startswith(f"AMISS  svm: unix:{tmp_path}/svm.sock: ")
    assert "is the SVM running" in lines["svm"]
    assert lines["probe"].startswith("AMISS  probe: the EICAR test file can be opened")
    assert os.listdir(tmp_path / "state") == []
    assert open_descriptors() <= before + 1  # of the loop's thread


async def test_an_svm_that_answers_is_well(tmp_path: Path) -> None:
    """With its generation."""
    async with serving(tmp_path / "svm.sock"):
        _, lines = await told(setup_in(tmp_path))
    assert lines["svm"] == f"ok     svm: unix:{tmp_path}/svm.sock answers, generation 0000000000000007"


async def test_mount_points_are_told_apart(tmp_path: Path) -> None:
    """What is watched, what is not, and what the kernel makes up is not spoken of."""
    _, lines = await told(setup_in(tmp_path))
    assert lines["watched"] == "ok     watched: / (ext4)"
    assert lines["not watched"] == "note   not watched: /net work (nfs4)"


async def test_where_nothing_is_watched_that_is_amiss(tmp_path: Path) -> None:
    """As where a mount point was mistyped."""
    setup = setup_in(tmp_path)
    access = replace(setup.settings.on_access, watch=("/none",))
    setup = replace(setup, settings=replace(setup.settings, on_access=access))
    code, lines = await told(setup)
    assert (code, lines["watched"]) == (1, "AMISS  watched: nothing")
    assert lines["mounts"] == "AMISS  mounts: nothing is mounted at /none: correct on_access.watch"


@pytest.mark.parametrize(
    ("action", "said"), [(Action.BLOCK, "and stays"), (Action.REPORT, "and CAN be opened")]
)
async def test_what_is_done_about_a_detection_is_said(tmp_path: Path, action: Action, said: str) -> None:
    """Nobody is to believe that files are kept from being opened when they are not."""
    setup = setup_in(tmp_path)
    access = replace(setup.settings.on_access, action=action)
    _, lines = await told(replace(setup, settings=replace(setup.settings, on_access=access)))
    assert lines["action"].endswith(f"{said} (block-open)")


async def test_what_the_svm_has_not_been_told_is_counted(tmp_path: Path) -> None:
    """Without taking anything from the daemon."""
    setup = setup_in(tmp_path)
    _, lines = await told(setup)
    assert lines["events"] == "note   events: none waits"
    with closing(Outbox(tmp_path / "state")) as outbox:
        outbox.add(GuestEvent(0, EventKind.ACTION, 1.0))
        _, lines = await told(setup)
        assert lines["events"] == "note   events: 1 wait to be told to the SVM"
        assert outbox.problem == ""
    (tmp_path / "state" / "events").unlink()
    (tmp_path / "state" / "events").mkdir()
    code, lines = await told(setup)
    assert (code, lines["events"]) == (
        1,
        f"AMISS  events: {tmp_path}/state: they cannot be read: Is a directory",
    )


@watching
async def test_what_the_kernel_can_do_is_tried(tmp_path: Path) -> None:
    """On this one all of it."""
    _, lines = await told(setup_in(tmp_path))
    assert [lines[what][:5] for what in ("kernel", "marks", "leases")] == ["ok   "] * 3
    assert os.uname().release in lines["kernel"]


async def test_a_kernel_that_cannot_watch_is_amiss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do."""

    def unavailable(*, asks: bool) -> None:
        raise FanotifyUnavailable("run this as root")

    monkeypatch.setattr(module, "Group", unavailable)
    code, lines = await told(setup_in(tmp_path))
    assert (code, lines["kernel"]) == (1, "AMISS  kernel: run this as root")
    assert "marks" not in lines


@pytest.mark.parametrize(
    ("error", "mark"), [(PermissionError(1, "no"), "ok"), (OSError(5, "Input/output error"), "AMISS")]
)
async def test_what_becomes_of_the_test_file_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, mark: str
) -> None:
    """EPERM is what a protected machine gives; another error is none."""

    def read(_path: Path) -> bytes:
        raise error

    setup = setup_in(tmp_path)
    setup.store.directory.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", read)
        finding = module._probe(setup.store.directory)
    assert module._MARKS[finding.good] == mark
    assert os.listdir(setup.store.directory) == []


async def test_a_state_that_cannot_be_written_is_amiss(tmp_path: Path) -> None:
    """The probe says so."""
    setup = setup_in(tmp_path)
    (tmp_path / "state").write_text("no directory")
    code, lines = await told(setup)
    assert code == 1
    assert "the EICAR test file cannot be written" in lines["probe"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ('mode = "block-exec"', "can be opened, as it should with block-exec"),
        ('mode = "notify"', "can be opened, as it should with notify"),
        ('watch = ["/net work"]', "where it is made, is not watched"),
    ],
)
async def test_a_probe_that_says_nothing_is_not_amiss(tmp_path: Path, settings: str, words: str) -> None:
    """Where the settings have nobody wait who opens it."""
    made = setup_in(tmp_path)
    (tmp_path / "stub.toml").write_text(f"[on_access]\n{settings}\n")
    options = parse(["doctor", "--state", str(made.store.directory), "--config", str(tmp_path / "stub.toml")])
    _, lines = await told(prepare(options, {}))
    assert lines["probe"].startswith("note   probe: the EICAR test file")
    assert words in lines["probe"]
