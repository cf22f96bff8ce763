"""`guest-stub run` on the real kernel while something around it fails: who opens a file gets an answer."""

import asyncio
import os
import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.apart import ROOT, environment
from tests.support.contents import EICAR
from tests.support.protected import Protected, protected
from tests.support.relay import relay
from tests.support.stub_program import Ended
from tests.support.svm import until
from tests.support.svm_process import SvmProcess, svm_process
from tests.support.tls_svm import Doors, enrolled

SOON = "[on_access]\nopen_seconds = 0.5\n"
LATE = "[on_access]\nopen_seconds = 60\n"


@pytest.fixture
async def doors(tmp_path: Path) -> Doors:
    """Where the SVM listens; the stubs of these tests are enrolled at it."""
    return await enrolled(tmp_path / "svm", tmp_path / "stub", tmp_path / "other" / "stub")


@pytest.fixture
def port(doors: Doors) -> int:
    """Where guests ask it."""
    return doors.port


@pytest.fixture
def svm(doors: Doors) -> Iterator[SvmProcess]:
    """A serving SVM on TCP."""
    with svm_process(doors.directory, listen=doors.listen, doors=doors.others) as process:
        yield process


async def opened(machine: Protected, name: str) -> Ended:
    """What comes of opening a file."""
    return await machine.run("cat", machine.top / name)


async def waits(machine: Protected, name: str) -> asyncio.subprocess.Process:
    """A process that has begun to open a file, and waits for the answer."""
    opening = await machine.start("cat", machine.top / name)
    call = Path(f"/proc/{opening.pid}/wchan")
    await until(lambda: "fanotify" in call.read_text(), "the kernel has asked the stub")
    return opening


async def found_and_denied(machine: Protected, name: str) -> None:
    """The file is found out by the stub itself, and cannot be opened from then on."""
    assert f"{machine.top}/{name}" in await machine.says("found ")
    assert (await opened(machine, name)).code == 1


async def test_an_svm_that_stands_still(svm: SvmProcess, port: int, tmp_path: Path) -> None:
    """The fail mode answers in time; when the SVM goes on, what was let through is found out."""
    async with protected(tmp_path, f"tcp:127.0.0.1:{port}", settings=SOON) as machine:
        await machine.says("the SVM answers")
        await machine.write("bad.com", EICAR)
        svm.signal(signal.SIGSTOP)
        assert (await opened(machine, "bad.com")).code == 0
        await machine.says("no verdict in time")
        svm.signal(signal.SIGCONT)
        await found_and_denied(machine, "bad.com")


async def test_an_svm_that_is_killed(tmp_path: Path, doors: Doors) -> None:
    """What is on record counts on, the fail mode answers for the rest, another SVM is told of it."""
    async with protected(tmp_path, doors.listen) as machine:
        await machine.write("known.com", EICAR)
        with svm_process(doors.directory, listen=doors.listen, doors=doors.others) as svm:
            await machine.says("the SVM answers")
            await asyncio.sleep(2.1)  # what was changed just now is not kept on record
            assert (await opened(machine, "known.com")).code == 1
            svm.signal(signal.SIGKILL)
            svm.wait()
        await machine.says("the SVM is gone")
        assert (await opened(machine, "known.com")).code == 1
        await machine.write("new.com", EICAR + b"\n")
        await asyncio.sleep(2.1)
        assert (await opened(machine, "new.com")).code == 0
        with svm_process(doors.directory, listen=doors.listen, doors=doors.others):
            assert f"{machine.top}/new.com" in await machine.says("new.com: Eicar")
        await machine.says("the SVM is gone")
        assert (await opened(machine, "new.com")).code == 1


async def test_a_slow_network(svm: SvmProcess, port: int, tmp_path: Path) -> None:
    """Who may wait long enough gets the verdict; who may not gets the fail mode's answer, the next one it."""
    async with relay(port) as network:
        async with protected(tmp_path, network.target, settings=LATE) as machine:
            await machine.says("the SVM answers")
            await machine.write("bad.com", EICAR)
            network.delay = 1.0
            assert (await opened(machine, "bad.com")).code == 1
        network.delay = 0.0
        async with protected(tmp_path / "other", network.target, settings=SOON) as machine:
            await machine.says("the SVM answers")
            await machine.write("bad.com", EICAR + b"\n")
            network.delay = 1.0
            assert (await opened(machine, "bad.com")).code == 0
            await machine.says("no verdict in time")
            await found_and_denied(machine, "bad.com")


async def test_a_network_that_is_cut_without_a_word(svm: SvmProcess, port: int, tmp_path: Path) -> None:
    """Nobody is told that the SVM is gone: the budget answers; once mended, the stub is back by itself."""
    async with relay(port) as network, protected(tmp_path, network.target, settings=SOON) as machine:
        await machine.says("the SVM answers")
        await machine.write("bad.com", EICAR)
        network.cut = True
        assert (await opened(machine, "bad.com")).code == 0
        await machine.says("no verdict in time")
        network.mend()
        await machine.says("the SVM is gone")
        await found_and_denied(machine, "bad.com")


async def test_a_file_that_is_changed_while_it_is_looked_at(
    svm: SvmProcess, port: int, tmp_path: Path
) -> None:
    """The verdict on what it was is not the answer for what it is now."""
    async with protected(tmp_path, f"tcp:127.0.0.1:{port}", settings=LATE) as machine:
        await machine.says("the SVM answers")
        svm.signal(signal.SIGSTOP)
        writer = await asyncio.to_thread(os.open, machine.outside("file.com"), os.O_CREAT | os.O_WRONLY)
        os.write(writer, b"harmless" + bytes(60))
        opening = await waits(machine, "file.com")
        os.pwrite(writer, EICAR, 0)
        svm.signal(signal.SIGCONT)
        assert await asyncio.wait_for(opening.wait(), 60) == 1
        os.close(writer)
        await machine.says("blocked")


async def test_a_name_that_is_given_to_another_file_meanwhile(
    svm: SvmProcess, port: int, tmp_path: Path
) -> None:
    """Who has opened the first one gets the answer for that; the next who opens it, for the other."""
    async with protected(tmp_path, f"tcp:127.0.0.1:{port}", settings=LATE) as machine:
        await machine.says("the SVM answers")
        await machine.write("other.com", EICAR)
        svm.signal(signal.SIGSTOP)
        await machine.write("file.com", b"harmless")
        opening = await waits(machine, "file.com")
        await asyncio.to_thread(os.rename, machine.outside("other.com"), machine.outside("file.com"))
        svm.signal(signal.SIGCONT)
        out, _ = await asyncio.wait_for(opening.communicate(), 60)
        assert (opening.returncode, out) == (0, b"harmless")
        assert (await opened(machine, "file.com")).code == 1


async def test_nobody_dodges_the_fail_mode_of_a_directory(port: int, tmp_path: Path) -> None:
    """Not by an odd name, nor by a mount that only he sees, nor by a file without a name."""
    top = tmp_path / "top"
    settings = f'[on_access.on_failure_below]\n"{top}/deny" = "deny"\n'
    async with protected(
        tmp_path, f"tcp:127.0.0.1:{port}", settings=settings, prepare='mkdir "$1/deny"'
    ) as it:
        for name in ("deny/file", "deny/file (deleted)", "free"):
            await it.write(name, EICAR)
        mounted = f'mount --bind {top}/deny "{tmp_path}/mine" && exec cat "{tmp_path}/mine/file"'
        nameless = f"exec 3<>{top}/deny/own && echo >&3 && rm {top}/deny/own && exec cat /proc/self/fd/3"
        (tmp_path / "mine").mkdir()
        for program in (
            ("cat", top / "deny/file"),
            ("cat", top / "deny/file (deleted)"),
            ("unshare", "-Urm", "sh", "-c", mounted),
            ("sh", "-c", nameless),
        ):
            ended = await it.run(*program)
            assert (ended.code, "Operation not permitted" in ended.err) == (1, True), program
        assert (await opened(it, "free")).code == 0


@pytest.mark.parametrize("seconds", [400 * 86_400, -400 * 86_400, 7200, -7200])
async def test_a_clock_that_jumps(svm: SvmProcess, port: int, tmp_path: Path, seconds: int) -> None:
    """Nobody waits for longer, nothing bad is let through, and what is new is asked about as before."""
    shift = tmp_path / "shift"
    shift.write_text("0")
    environ = {
        "CLOCK_SHIFT_FILE": str(shift),
        "PYTHONPATH": f"{ROOT / 'tests/support/shifted_clock'}:{environment()['PYTHONPATH']}",
    }
    target = f"tcp:127.0.0.1:{port}"
    async with protected(tmp_path, target, "--mode", "block-open", environ=environ) as machine:
        await machine.says("the SVM answers")
        await machine.write("bad.com", EICAR)
        await machine.write("good.txt", b"harmless")
        assert (await opened(machine, "bad.com")).code == 1
        assert (await opened(machine, "good.txt")).code == 0
        shift.write_text(str(seconds))
        await machine.write("later.com", EICAR + b"\n")
        await machine.write("later.txt", b"harmless too")
        assert (await opened(machine, "bad.com")).code == 1
        assert (await opened(machine, "good.txt")).code == 0
        assert (await opened(machine, "later.com")).code == 1
        assert (await opened(machine, "later.txt")).code == 0
        assert not [line for line in machine.said if "no verdict" in line or "Traceback" in line]
        assert await machine.stop() == 0


async def test_a_start_on_a_full_disk(svm: SvmProcess, port: int, tmp_path: Path) -> None:
    """Whoever fills it turns nothing off; what has room again is used."""
    full = 'cp -a "$1/../stub" "$1/../kept" && mount -t tmpfs -o size=1m,mode=700 none "$1/../stub"'
    full += ' && cp -a "$1/../kept/identity" "$1/../stub"'
    full += ' && (cat /dev/zero >"$1/../stub/stuffing" 2>/dev/null; true)'
    async with protected(tmp_path, f"tcp:127.0.0.1:{port}", prepare=full) as machine:
        assert any("nothing that is decided is kept" in line for line in machine.said)
        await machine.says("the SVM answers")
        await machine.write("bad", EICAR)
        assert (await opened(machine, "bad")).code == 1
        await machine.says("blocked ")
        assert await machine.stop() == 0


async def test_a_disk_without_an_inode_left_when_an_svm_is_back(tmp_path: Path) -> None:
    """It ends nothing: what was let through is looked at, and as soon as there is room more can be noted."""
    target, stuffing = f"unix:{tmp_path}/svm/svm.sock", tmp_path / "stub/stuffing"
    few = 'mkdir "$1/../stub" && mount -t tmpfs -o nr_inodes=40,mode=700 none "$1/../stub"'
    (tmp_path / "svm").mkdir()
    async with protected(tmp_path, target, prepare=few) as machine:

        async def let_through(name: str) -> None:
            await machine.write(name, EICAR + b"\n" * len(name))
            assert (await opened(machine, name)).code == 0

        await let_through("a.com")
        filled = await machine.run(
            "sh", "-c", f"mkdir {stuffing}; touch {stuffing}/$(seq -s ' {stuffing}/' 40)"
        )
        assert "No space left" in filled.err
        for name, later in pairwise(("a.com", "aa.com", "aaa.com")):
            with svm_process(tmp_path / "svm"):
                await found_and_denied(machine, name)
            await machine.says("the SVM is gone")
            assert (await machine.run("rm", "-rf", stuffing)).code == 0
            machine.said.clear()
            await let_through(later)
        assert await machine.stop() == 0
