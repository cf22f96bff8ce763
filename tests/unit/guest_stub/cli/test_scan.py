"""Tests of `guest-stub scan` as a process: what people and programs see of it."""

import asyncio
import hashlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from guest_stub.cli.scan import absolute
from guest_stub.outcome import Outcome
from tests.support.guest_side_server import Behaviour, GuestSideServer, serving
from tests.support.held_files import until
from tests.support.stub_program import ended, guest_stub, on_terminal, start


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[GuestSideServer]:
    """An SVM without engines."""
    async with serving(tmp_path / "svm.sock") as running:
        yield running


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Ten files."""
    top = tmp_path / "tree"
    top.mkdir()
    for number in range(10):
        (top / f"f{number}").write_bytes(b"content %d" % number)
    return top


def bad(server: GuestSideServer, path: Path) -> None:
    """Have the SVM call a file malicious."""
    server.known[hashlib.sha256(path.read_bytes()).digest()] = Outcome.MALICIOUS


def common(server: GuestSideServer, tmp_path: Path) -> tuple[str, ...]:
    """Options of every scan here."""
    return ("--svm", server.target, "--state", str(tmp_path / "state"))


async def test_a_finding_is_a_line_and_code_1(server: GuestSideServer, tree: Path, tmp_path: Path) -> None:
    """As clamscan prints it, with the member."""
    bad(server, tree / "f3")
    told = await guest_stub("scan", tree, *common(server, tmp_path))
    assert told.code == 1
    assert told.out.splitlines()[0] == f"{tree}/f3!a/b.com: Eicar-Test-Signature FOUND"
    assert "scan summary" in told.out
    assert told.err == ""


async def test_json_is_one_object_a_line(server: GuestSideServer, tree: Path, tmp_path: Path) -> None:
    """What is remarkable, then the summary; with --all every file."""
    bad(server, tree / "f3")
    told = await guest_stub("scan", "--json", tree, *common(server, tmp_path))
    assert [each.get("path") for each in told.objects] == [f"{tree}/f3", None]
    assert told.summary["outcomes"] == {"malicious": 1, "not detected": 9}
    assert (told.summary["exit_code"], told.summary["complete"]) == (1, True)
    told = await guest_stub("scan", "--json", "--all", tree, *common(server, tmp_path))
    assert sorted(each["path"] for each in told.objects[:-1]) == [f"{tree}/f{number}" for number in range(10)]


async def test_options_reach_the_walk(server: GuestSideServer, tree: Path, tmp_path: Path) -> None:
    """Exclusions of the command line and of the configuration, the size limit, idle and rate."""
    (tree / "big").write_bytes(bytes(2000))
    (tmp_path / "stub.toml").write_text('exclude = ["f1"]\n')
    told = await guest_stub(
        "scan", "--json", tree, *common(server, tmp_path), "--exclude", "f[2-4]", "--max-size", "1K",
        "--idle", "--rate", "100", "--config", tmp_path / "stub.toml", "-x",
    )  # fmt: skip
    assert told.summary["outcomes"] == {"not detected": 6, "excluded": 4, "over size": 1}
    assert told.code == 0


async def test_a_terminal_gets_a_progress_line(server: GuestSideServer, tree: Path, tmp_path: Path) -> None:
    """It is drawn and cleared; the second scan of a tree knows how many files there are."""
    first = await on_terminal("scan", tree, *common(server, tmp_path))
    assert "files/s" in first.err
    assert "of about" not in first.err
    assert first.err.endswith("\r\x1b[K")
    second = await on_terminal("scan", tree, *common(server, tmp_path))
    assert "of about 10 files" in second.err
    third = await on_terminal("scan", tree, *common(server, tmp_path), "--no-progress")
    assert third.err == ""


async def test_a_link_that_was_named_is_said(server: GuestSideServer, tree: Path, tmp_path: Path) -> None:
    """A PATH that is a symbolic link is followed, and one reads where to."""
    (tmp_path / "link").symlink_to(tree)
    told = await guest_stub("scan", "--json", tmp_path / "link", *common(server, tmp_path))
    assert told.err == f"guest-stub: {tmp_path}/link is a symbolic link: scanning {tree}\n"
    assert told.summary["files"] == 10


async def test_a_path_that_is_not_there_is_code_2(
    server: GuestSideServer, tree: Path, tmp_path: Path
) -> None:
    """The others are scanned all the same."""
    told = await guest_stub("scan", tmp_path / "no", tree, *common(server, tmp_path))
    assert told.code == 2
    assert told.out.splitlines()[0] == f"{tmp_path}/no: UNREADABLE (No such file or directory)"
    assert "not detected" in told.out


async def test_hostile_names_do_not_reach_the_terminal(server: GuestSideServer, tmp_path: Path) -> None:
    """Controls and bytes that are not UTF-8 are escaped, and findings in such files are reported."""
    top = tmp_path / "tree"
    top.mkdir()
    (top / os.fsdecode(b"\x1b[2Jcaf\xe9\n")).write_text("x")
    bad(server, next(top.iterdir()))
    told = await guest_stub("scan", top, *common(server, tmp_path), env={"LC_ALL": "C"})
    assert told.out.splitlines()[0] == (f"{top}/\\x1b[2Jcaf\\xe9\\x0a!a/b.com: Eicar-Test-Signature FOUND")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_with_what_was_found(tmp_path: Path, tree: Path, number: signal.Signals) -> None:
    """The summary is written, what was answered is kept, and the next scan goes on from there."""
    async with serving(tmp_path / "svm.sock", Behaviour(on_upload=lambda _: None)) as server:
        old = tree / "f0"
        bad(server, old)
        process = await start("scan", "--json", tree, *common(server, tmp_path))
        await until(lambda: len(server.uploads) == 9)
        process.send_signal(number)
        told = await ended(process)
    assert told.code == 1
    assert told.summary["incomplete"] == f"ended by {number.name}"
    assert told.summary["outcomes"] == {"malicious": 1, "interrupted": 9}
    assert f"not complete: ended by {number.name}" in told.err


async def test_an_interruption_without_a_finding_is_code_2(tmp_path: Path, tree: Path) -> None:
    """Nothing was found, but not everything was looked at."""
    async with serving(tmp_path / "svm.sock", Behaviour(on_upload=lambda _: None)) as server:
        process = await start("scan", tree, *common(server, tmp_path))
        await until(lambda: len(server.uploads) == 10)
        process.send_signal(signal.SIGINT)
        told = await ended(process)
    assert told.code == 2
    assert "not complete: ended by SIGINT" in told.out


async def test_a_reader_that_goes_away_ends_the_scan(
    server: GuestSideServer, tree: Path, tmp_path: Path
) -> None:
    """As in `guest-stub scan / | head -1`: one line says so, and there is no traceback."""
    reading, writing = os.pipe()
    os.close(reading)
    process = await start("scan", tree, "--all", *common(server, tmp_path), out=writing)
    os.close(writing)
    told = await ended(process)
    assert told.code == 2
    assert told.err.startswith("guest-stub: ")
    assert told.err.endswith("results cannot be written any more: Broken pipe\n")
    assert told.err.count("\n") == 1


async def test_a_full_disk_for_the_results_is_code_2(
    server: GuestSideServer, tree: Path, tmp_path: Path
) -> None:
    """A scan whose results are lost has not gone well."""
    full = os.open("/dev/full", os.O_WRONLY)
    told = await ended(await start("scan", tree, *common(server, tmp_path), out=full))
    os.close(full)
    assert told.code == 2
    assert "No space left on device" in told.err


async def test_a_directory_of_names_with_dots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths become absolute; what ".." means is read from the disk, since links decide it."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a/b")
    monkeypatch.chdir(tmp_path)
    assert absolute("a//b/.") == f"{tmp_path}/a/b"
    assert absolute("link") == f"{tmp_path}/link"
    assert absolute("link/..") == f"{tmp_path}/a"
    assert absolute("link/../b") == f"{tmp_path}/a/b"
    assert absolute("/") == "/"
    assert absolute("/..") == "/"


async def test_decisions_that_are_set_aside_are_said(
    server: GuestSideServer, tree: Path, tmp_path: Path
) -> None:
    """A damaged store does not fail a scan."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "decisions.lmdb").write_bytes(b"garbage" * 5000)
    told = await guest_stub("scan", tree, *common(server, tmp_path))
    assert told.code == 0
    assert "set aside" in told.err


@asynccontextmanager
async def busy(tmp_path: Path) -> AsyncIterator[GuestSideServer]:
    """An SVM that gives no slot by itself."""
    async with serving(tmp_path / "svm.sock", Behaviour(grants=False)) as server:
        yield server


async def test_a_scan_says_how_it_stands(server: GuestSideServer, tree: Path, tmp_path: Path) -> None:
    """It asks for a slot, runs, and tells how it ended, under a name that it has drawn."""
    for _ in range(2):
        await guest_stub("scan", tree, *common(server, tmp_path))
    await until(lambda: server.states() == ["WAITING", "RUNNING", "DONE"] * 2)
    assert (server.scans[-1].files, server.scans[-1].unanswered) == (10, 0)
    assert len({each.scan for each in server.scans}) == 2


async def test_without_a_slot_it_waits_and_says_so(tree: Path, tmp_path: Path) -> None:
    """Until it has one; on a terminal in place of the progress line."""
    async with busy(tmp_path) as server:
        process = await start("scan", "--json", tree, *common(server, tmp_path))
        assert process.stderr is not None
        assert await process.stderr.readline() == b"guest-stub: waiting for a slot: the host is busy\n"
        assert server.check_requests == []
        await server.grant(server.scans[-1].scan)
        told = await ended(process)
        assert (told.code, told.err, told.summary["files"]) == (0, "", 10)
        drawn = asyncio.get_running_loop().create_task(on_terminal("scan", tree, *common(server, tmp_path)))
        await until(lambda: server.states()[-1:] == ["WAITING"])
        await asyncio.wait([drawn], timeout=3)  # as long as a person sees nothing of it, and more
        await server.grant(server.scans[-1].scan)
        assert "\r\x1b[Kwaiting for a slot: the host is busy" in (await drawn).err


async def test_patience_ends(tree: Path, tmp_path: Path) -> None:
    """A scan that was given no slot is not complete, and says what to do."""
    async with busy(tmp_path) as server:
        told = await guest_stub("scan", "--json", tree, *common(server, tmp_path), "--patience", "1s")
        assert told.code == 2
        assert "no slot for a scan within 1 s, since the host is busy" in told.summary["incomplete"]
        await until(lambda: server.states() == ["WAITING", "INCOMPLETE"])
        assert "--patience" in server.scans[-1].text


async def test_a_scan_that_waits_can_be_ended(tree: Path, tmp_path: Path) -> None:
    """By Ctrl-C; the SVM hears that it was called off."""
    async with busy(tmp_path) as server:
        process = await start("scan", "--json", tree, *common(server, tmp_path))
        await until(lambda: server.states() == ["WAITING"])
        await asyncio.sleep(0)
        process.send_signal(signal.SIGINT)
        told = await ended(process)
        assert (told.code, told.summary["incomplete"]) == (2, "ended by SIGINT")
        await until(lambda: server.states() == ["WAITING", "CANCELLED"])


async def test_an_svm_that_comes_back_is_asked_for_a_slot(tmp_path: Path, tree: Path) -> None:
    """Until it gives one the scan pauses."""
    async with serving(tmp_path / "svm.sock", Behaviour(on_check=lambda _: [])) as server:
        process = await start("scan", "--json", tree, *common(server, tmp_path))
        await until(lambda: bool(server.check_requests))
    async with busy(tmp_path) as server:
        await until(lambda: server.states() == ["WAITING"])
        assert server.check_requests == []
        await server.grant(server.scans[-1].scan)
        told = await ended(process)
        assert (told.code, told.summary["outcomes"]) == (0, {"not detected": 10})
        await until(lambda: server.states() == ["WAITING", "RUNNING", "DONE"])
