"""`guest-stub scan` against a real `svm serve`, each in a process of its own."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import commands
from tests.support.apart import python_apart
from tests.support.archives import tarred, zipped
from tests.support.commands import Ran
from tests.support.contents import EICAR
from tests.support.stub_program import DEADLINE, Ended, ended, guest_stub, start
from tests.support.svm import digest_of
from tests.support.svm_process import SvmProcess, svm_process

# Files that were not written just now, so that decisions on them are kept.
OLD_TREE = Path(os.__file__).parent / "encodings"


@pytest.fixture
def svm(tmp_path: Path) -> Iterator[SvmProcess]:
    """A serving SVM."""
    (tmp_path / "svm").mkdir()
    with svm_process(tmp_path / "svm") as process:
        yield process


def infected(top: Path) -> dict[str, str]:
    """A tree with EICAR in different wrappings; what each file is to be called in the report."""
    contents = {
        "plain.com": (EICAR, ""),
        "one.zip": (zipped({"b/c.exe": EICAR, "harmless.txt": b"x"}), "!b/c.exe"),
        "two.tar": (tarred({"in/one.zip": zipped({"b/c.exe": EICAR})}), "!in/one.zip!b/c.exe"),
        os.fsdecode(b"caf\xe9.com"): (EICAR, ""),
    }
    top.mkdir()
    (top / "harmless").write_text("nothing here")
    for name, (content, _) in contents.items():
        (top / name).write_bytes(content)
    return {name: member for name, (_, member) in contents.items()}


async def scan(svm: SvmProcess, state: Path, *words: str | Path) -> Ended:
    """Run a scan to its end."""
    return await guest_stub("scan", "--json", "--svm", svm.target, "--state", state, *words)


async def test_what_is_hidden_is_found(svm: SvmProcess, tmp_path: Path) -> None:
    """EICAR is found plain, in archives, in archives within archives, and under any name."""
    members = infected(tmp_path / "t")
    told = await guest_stub("scan", "--svm", svm.target, "--state", tmp_path / "s", tmp_path / "t")
    assert told.code == 1
    found = {line.rpartition(": ")[0] for line in told.out.splitlines() if line.endswith(" FOUND")}
    assert found == {
        f"{tmp_path}/t/{name}{member}".replace("\udce9", "\\xe9") for name, member in members.items()
    }


async def test_a_later_guest_sends_nothing(svm: SvmProcess, tmp_path: Path) -> None:
    """What one guest has sent answers every other, at once."""
    infected(tmp_path / "t")
    first = await scan(svm, tmp_path / "s1", tmp_path / "t", OLD_TREE)
    later = await scan(svm, tmp_path / "s2", tmp_path / "t", OLD_TREE)
    assert first.summary["bytes_sent"] > 0
    assert later.summary["bytes_sent"] == 0
    assert later.summary["answered_at_once"] == later.summary["files"] == first.summary["files"]
    assert later.summary["outcomes"] == first.summary["outcomes"]
    assert (first.code, later.code) == (1, 1)


async def test_guests_at_the_same_time_send_each_content_once(svm: SvmProcess, tmp_path: Path) -> None:
    """While one sends, the others wait for its answer."""
    top = tmp_path / "t"
    top.mkdir()
    for number in range(300):
        (top / str(number)).write_bytes(b"content %d" % number * 100)
    guests = await asyncio.gather(*(scan(svm, tmp_path / f"s{number}", top) for number in range(3)))
    assert [guest.summary["outcomes"] for guest in guests] == [{"not detected": 300}] * 3
    assert sum(guest.summary["bytes_sent"] for guest in guests) == guests[0].summary["bytes"]


async def test_the_same_guest_reads_nothing_again(svm: SvmProcess, tmp_path: Path) -> None:
    """Files that nobody changed are answered from what was kept."""
    first = await scan(svm, tmp_path / "s", OLD_TREE)
    again = await scan(svm, tmp_path / "s", OLD_TREE)
    assert first.summary["bytes_read"] == first.summary["bytes"] > 0
    assert again.summary["answered_from_earlier_scans"] == again.summary["files"] > 100
    assert (again.summary["bytes_read"], again.code) == (0, 0)


async def first_answer(process: asyncio.subprocess.Process) -> None:
    """Wait until a scan with --all has answered for a file."""
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE):
        assert json.loads(await process.stdout.readline())["outcome"] == "not detected"


async def test_an_interrupted_scan_goes_on_where_it_was(svm: SvmProcess, tmp_path: Path) -> None:
    """After Ctrl-C the next scan answers from what was decided, and reads only the rest."""
    common = ("--svm", svm.target, "--state", tmp_path / "s", OLD_TREE)
    process = await start("scan", "--json", "--all", "--rate", "0.6", *common)
    await first_answer(process)
    process.send_signal(signal.SIGINT)
    cut = await ended(process)
    assert cut.code == 2
    assert cut.summary["incomplete"] == "ended by SIGINT"
    decided = cut.summary["outcomes"]["not detected"]
    assert cut.summary["files"] == decided + cut.summary["outcomes"]["interrupted"]
    whole = await guest_stub("scan", "--json", *common)
    assert whole.code == 0
    assert whole.summary["answered_from_earlier_scans"] >= decided
    assert whole.summary["bytes_read"] < whole.summary["bytes"]


async def test_a_scan_outlives_a_killed_svm(tmp_path: Path) -> None:
    """kill -9 in the middle of a scan: the next SVM on the same state answers what was open."""
    (tmp_path / "svm").mkdir()
    with svm_process(tmp_path / "svm") as first:
        words = ("--svm", first.target, "--state", tmp_path / "s", OLD_TREE)
        process = await start("scan", "--json", "--all", "--rate", "2", *words)
        await first_answer(process)
        first.signal(signal.SIGKILL)
        first.wait()
    with svm_process(tmp_path / "svm"):
        told = await ended(process)
    assert told.code == 0
    assert told.summary["complete"]
    assert told.summary["outcomes"]["not detected"] == told.summary["files"]


async def test_what_may_not_be_read_is_listed_and_counted(svm: SvmProcess, tmp_path: Path) -> None:
    """A file and a directory without right are named with the reason; the rest is scanned; the code is 2."""
    top = tmp_path / "t"
    (top / "closed").mkdir(parents=True)
    (top / "open").write_text("hello")
    (top / "secret").write_text("hello")
    (top / "secret").chmod(0)
    (top / "closed").chmod(0)
    told = await guest_stub(
        "scan", "--json", "--svm", svm.target, "--state", tmp_path / "s", top,
        command=python_apart(["--cap-drop", "ALL"]),
    )  # fmt: skip
    assert told.code == 2
    assert {each["path"]: (each.get("outcome"), each["reason"]) for each in told.objects[:-1]} == {
        str(top / "secret"): ("unreadable", "Permission denied"),
        str(top / "closed"): (None, "Permission denied"),
    }
    assert told.summary["outcomes"] == {"not detected": 1, "unreadable": 1}
    assert told.summary["directories_left_out"] == {"unreadable": 1}


async def test_a_loop_of_mounts_and_endless_files_end(svm: SvmProcess, tmp_path: Path) -> None:
    """A tree mounted within itself, a pipe nobody writes to, a device, a sparse file of a terabyte."""
    top = tmp_path / "t"
    (top / "loop").mkdir(parents=True)
    (top / "file").write_text("hello")
    os.mkfifo(top / "pipe")
    with (top / "huge").open("wb") as huge:
        huge.truncate(1 << 40)
    told = await guest_stub(
        "scan", "--json", "--svm", svm.target, "--state", tmp_path / "s", top, "/dev/zero",
        command=python_apart(["--bind", str(top), str(top / "loop")]),
    )  # fmt: skip
    assert told.summary["outcomes"] == {"not detected": 1, "too large": 1, "fifo": 1, "device": 1}
    assert told.summary["directories_left_out"] == {"loop": 1}


async def test_a_guest_that_was_away_learns_what_was_overruled(svm: SvmProcess, tmp_path: Path) -> None:
    """An override counts for guests that come later, and for what one keeps from before; so does its end."""
    (tmp_path / "t").mkdir()
    (tmp_path / "t/plain.com").write_bytes(EICAR)
    os.utime(tmp_path / "t/plain.com", (1, 1))
    digest = digest_of(EICAR).hex()
    assert (await scan(svm, tmp_path / "s", tmp_path / "t")).code == 1
    allowed = await admin(svm, "verdicts", "set", digest, "--allow", "--reason", "a test")
    assert allowed.code == 0, allowed.err
    assert (await scan(svm, tmp_path / "s", tmp_path / "t")).summary["outcomes"] == {"clean": 1}
    assert (await scan(svm, tmp_path / "new", tmp_path / "t")).summary["outcomes"] == {"clean": 1}
    assert (await admin(svm, "verdicts", "clear", digest)).code == 0
    assert (await scan(svm, tmp_path / "s", tmp_path / "t")).summary["outcomes"] == {"malicious": 1}


async def admin(svm: SvmProcess, *words: str) -> Ran:
    """Run an `svm` command against the SVM."""
    environ = {"KVMLA_CONFIG": str(svm.directory / "svm.toml")}
    return await asyncio.to_thread(commands.svm, *words, environ=environ, now=time.time())
