"""Tests of the program as a process: what went wrong is one line and a code, never a traceback."""

import asyncio
import signal
from pathlib import Path

import pytest

from guest_stub.version import VERSION
from tests.support.guest_side_server import serving
from tests.support.stub_program import ended, guest_stub, start


async def test_it_says_its_version() -> None:
    """Without an SVM, a state or a configuration."""
    ended = await guest_stub("--version")
    assert (ended.code, ended.out) == (0, f"guest-stub {VERSION}\n")


async def test_it_runs_a_scan(tmp_path: Path) -> None:
    """From the command line to the summary."""
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "file").write_text("hello")
    async with serving(tmp_path / "svm.sock") as server:
        ended = await guest_stub("scan", tmp_path / "t", "--svm", server.target, "--state", tmp_path / "s")
    assert (ended.code, ended.err) == (0, "")
    assert "not detected" in ended.out


async def test_it_runs_status(tmp_path: Path) -> None:
    """KVMLA_SVM names the SVM."""
    async with serving(tmp_path / "svm.sock") as server:
        ended = await guest_stub("status", "--state", tmp_path / "s", env={"KVMLA_SVM": server.target})
    assert ended.code == 0
    assert "attached: yes" in ended.out


async def test_it_says_how_ksn_is_used(tmp_path: Path) -> None:
    """An answer is code 0, whatever it is; without one there is a line and code 2. Nothing is kept."""
    words = ("ksn", "--svm", f"unix:{tmp_path}/svm.sock", "--state", tmp_path / "s")
    async with serving(tmp_path / "svm.sock"):
        ended = await guest_stub(*words)
    assert (ended.code, ended.err) == (0, "")
    assert "ksn: off" in ended.out
    ended = await guest_stub(*words)
    assert (ended.code, ended.out) == (2, "")
    assert (ended.err.count("\n"), "is the SVM running" in ended.err) == (1, True)
    assert not (tmp_path / "s").exists()


async def test_it_runs_the_quarantine(tmp_path: Path) -> None:
    """Without an SVM; what is not there is a line and code 2."""
    ended = await guest_stub("quarantine", "list", "--state", tmp_path / "s")
    line = f"guest-stub: {tmp_path}/s is not there: no stub has run on it; give the --state of one\n"
    assert (ended.code, ended.out, ended.err) == (2, "", line)
    (tmp_path / "s").mkdir()
    ended = await guest_stub("quarantine", "list", "--state", tmp_path / "s")
    assert (ended.code, ended.out, ended.err) == (
        0,
        "0 files, 0 bytes; the bound is 1,073,741,824 bytes\n",
        "",
    )
    ended = await guest_stub("quarantine", "show", "0123456789ab", "--state", tmp_path / "s")
    line = "guest-stub: 0123456789ab is not in the quarantine: see guest-stub quarantine list\n"
    assert (ended.code, ended.out, ended.err) == (2, "", line)
    (tmp_path / "f").touch()
    ended = await guest_stub("quarantine", "list", "--state", tmp_path / "f")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "cannot be opened: Not a directory; name another directory by --state" in ended.err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--svm", "unix:{tmp}/no.sock", "--state", "{tmp}/s"), "is the SVM running"),
        (("--svm", "tcp:nowhere", "--state", "{tmp}/s"), 'write "unix:/path" or "tcp:host:port"'),
        (("--state", "/dev/null/s"), "cannot keep decisions in /dev/null/s: Not a directory"),
        (("--config", "{tmp}/no.toml"), "no.toml: there is no such file"),
    ],
)
async def test_what_a_person_can_cause_is_one_line(tmp_path: Path, words: tuple[str, ...], line: str) -> None:
    """It says what was wrong, and the code is 2."""
    ended = await guest_stub("scan", tmp_path, *(word.format(tmp=tmp_path) for word in words))
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("guest-stub: ")
    assert ended.err.count("\n") == 1
    assert line in ended.err


async def test_an_interruption_before_the_scan_is_one_line(tmp_path: Path) -> None:
    """Ctrl-C while the SVM does not answer leaves no traceback."""
    hello = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_unix_server(hang, tmp_path / "svm.sock.id"):
        words = ("--svm", f"unix:{tmp_path}/svm.sock", "--state", tmp_path / "s")
        process = await start("scan", tmp_path, *words)
        async with asyncio.timeout(30):
            await hello.wait()
        process.send_signal(signal.SIGINT)
        told = await ended(process)
    assert (told.code, told.out, told.err) == (2, "", "guest-stub: interrupted\n")
