"""`guest-stub run` on the real kernel, against a real `svm serve`."""

import asyncio
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.contents import EICAR
from tests.support.protected import Protected, protected
from tests.support.svm_process import SvmProcess, svm_process

EPERM = "Operation not permitted"


@pytest.fixture
def svm(tmp_path: Path) -> Iterator[SvmProcess]:
    """A serving SVM."""
    (tmp_path / "svm").mkdir()
    with svm_process(tmp_path / "svm") as process:
        yield process


async def attached(machine: Protected) -> None:
    """Return when the stub has its SVM."""
    await machine.says("the SVM answers")


async def test_a_malicious_file_cannot_be_opened_and_others_can(svm: SvmProcess, tmp_path: Path) -> None:
    """EPERM, and the log says why; it stays so when the stub knows the file."""
    async with protected(tmp_path, svm.target) as machine:
        await attached(machine)
        await machine.write("bad.com", EICAR)
        await machine.write("good.txt", b"harmless")
        for _ in range(2):
            bad = await machine.run("cat", machine.top / "bad.com")
            assert (bad.code, EPERM in bad.err) == (1, True)
        assert (await machine.run("cat", machine.top / "good.txt")).out == "harmless"
        line = await machine.says("blocked")
        assert f"{machine.top}/bad.com" in line
        assert "Eicar-Test-Signature" in line


async def figures(machine: Protected) -> dict[str, int]:
    """What the stub did in its life, which ends here."""
    assert await machine.stop() == 0
    line = await machine.says("asked ")
    return {name: int(count) for name, count in re.findall(r"(\w+) (\d+)", line.partition(": ")[2])}


async def aged(machine: Protected, name: str, content: bytes) -> Path:
    """A file that was not written just now, so that a change of it would show."""
    await machine.write(name, content)
    await asyncio.sleep(2.1)
    return machine.top / name


async def test_the_kernel_asks_again_only_when_a_file_has_changed(svm: SvmProcess, tmp_path: Path) -> None:
    """After one question a hundred opens are free; a write, or another file of the name, is asked about."""
    async with protected(tmp_path, svm.target) as machine:
        await attached(machine)
        file = await aged(machine, "file", b"harmless")
        await machine.run("sh", "-c", f"for i in $(seq 100); do cat {file}; done")
        await machine.run("sh", "-c", f"printf '%s' '{EICAR.decode()}' > {file}")
        assert (await machine.run("cat", file)).code == 1
        await machine.run("rm", file)
        await machine.run("sh", "-c", f"printf harmless > {file}")
        assert (await machine.run("cat", file)).code == 0
        counted = await figures(machine)
        assert counted["passed_over"] >= 1
        assert counted["asked"] < 20


@pytest.mark.parametrize("mode", ["notify", "block-exec"])
async def test_where_nobody_waits_a_known_file_is_not_read_again(
    svm: SvmProcess, tmp_path: Path, mode: str
) -> None:
    """Nor is the stub told of each open of it; when it was written it is looked at again."""
    async with protected(tmp_path, svm.target, "--mode", mode) as machine:
        await attached(machine)
        file = await aged(machine, "file", b"harmless")
        for _ in range(3):
            await machine.run("sh", "-c", f"for i in $(seq 100); do read x < {file}; done; true")
            await asyncio.sleep(0.2)
        await machine.run("sh", "-c", f"printf '%s' '{EICAR.decode()}' > {file}")
        assert str(file) in await machine.says("found")
        counted = await figures(machine)
        assert counted["passed_over"] >= 1
        assert counted["unchanged"] + counted["looked_at"] < 200  # the first hundred at the most, and a few


async def test_who_holds_a_file_open_for_writing_is_not_trusted(svm: SvmProcess, tmp_path: Path) -> None:
    """What he writes later, through a mapping or not, is asked about: the file got no mark."""
    async with protected(tmp_path, svm.target) as machine:
        await attached(machine)
        file = await aged(machine, "file", b"x" * len(EICAR))
        program = """
import mmap, os, subprocess, sys
fd = os.open(sys.argv[1], os.O_RDWR)
mapping = mmap.mmap(fd, 0)
assert subprocess.run(["cat", sys.argv[1]], stdout=subprocess.DEVNULL).returncode == 0
mapping[:] = sys.argv[2].encode()
mapping.flush()
print(subprocess.run(["cat", sys.argv[1]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode)
"""
        ran = await machine.run("python3", "-c", program, file, EICAR.decode())
        assert (ran.out, ran.err) == ("1\n", "")


async def test_a_writer_through_a_mapping_is_noticed_when_he_closes(svm: SvmProcess, tmp_path: Path) -> None:
    """Until then the mark holds, as docs/limitations.md says: the kernel tells nobody of such writes."""
    async with protected(tmp_path, svm.target) as machine:
        await attached(machine)
        file = await aged(machine, "file", b"x" * len(EICAR))
        assert (await machine.run("cat", file)).code == 0
        program = """
import mmap, os, subprocess, sys, time
def opened():
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.run(["cat", sys.argv[1]], **quiet).returncode
fd = os.open(sys.argv[1], os.O_RDWR)
mapping = mmap.mmap(fd, 0)
os.close(fd)
mapping[:] = sys.argv[2].encode()
during = opened()
mapping.close()
end = time.monotonic() + 30
while not opened() and time.monotonic() < end:
    time.sleep(0.05)
print(during, opened())
"""
        ran = await machine.run("python3", "-c", program, file, EICAR.decode())
        assert (ran.out, ran.err) == ("0 1\n", "")


async def test_what_was_written_through_a_mapping_is_read_anew(svm: SvmProcess, tmp_path: Path) -> None:
    """When it is closed, though no time of the file has moved and the stub has it on record as harmless."""
    async with protected(tmp_path, svm.target) as machine:
        await attached(machine)
        file = await aged(machine, "file", b"x" * len(EICAR))
        assert (await machine.run("cat", file)).code == 0
        await asyncio.sleep(1.1)  # by then it is on record
        program = """
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
mapping = mmap.mmap(fd, 0)
os.close(fd)
before = mapping[0], os.stat(sys.argv[1])
mapping[:] = sys.argv[2].encode()
after = os.stat(sys.argv[1])
mapping.close()
print(before[1].st_mtime_ns == after.st_mtime_ns and before[1].st_ctime_ns == after.st_ctime_ns)
"""
        ran = await machine.run("python3", "-c", program, file, EICAR.decode())
        assert (ran.out, ran.err) == ("True\n", "")
        assert f"{file}: Eicar" in await machine.says("found ")
        assert (await machine.run("cat", file)).code == 1


async def test_a_program_cannot_be_started(svm: SvmProcess, tmp_path: Path) -> None:
    """With block-exec it can be read, and not be run."""
    async with protected(tmp_path, svm.target, "--mode", "block-exec") as machine:
        await attached(machine)
        await machine.write("bad.sh", EICAR)
        await asyncio.to_thread(os.chmod, machine.outside("bad.sh"), 0o755)
        assert (await machine.run("cat", machine.top / "bad.sh")).code == 0
        started = await machine.run("sh", "-c", f"exec {machine.top}/bad.sh")
        assert (started.code, EPERM in started.err) == (126, True)


async def test_what_is_written_is_looked_at(svm: SvmProcess, tmp_path: Path) -> None:
    """Without anybody opening it, and without holding the writer up."""
    async with protected(tmp_path, svm.target, "--mode", "notify") as machine:
        await attached(machine)
        written = await machine.run("sh", "-c", f"printf '%s' '{EICAR.decode()}' > {machine.top}/new.com")
        assert written.code == 0
        assert f"{machine.top}/new.com" in await machine.says("found")


async def test_without_an_svm_the_fail_mode_answers(tmp_path: Path) -> None:
    """At once, and as the settings say for each operation."""
    async with protected(
        tmp_path, f"unix:{tmp_path}/none", settings='[on_access]\nexec_on_failure = "deny"\n'
    ) as machine:
        await machine.write("good.sh", b"#!/bin/sh\nexit 0\n")
        await asyncio.to_thread(os.chmod, machine.outside("good.sh"), 0o755)
        assert (await machine.run("cat", machine.top / "good.sh")).code == 0
        assert (await machine.run("sh", "-c", f"exec {machine.top}/good.sh")).code == 126
        assert "was answered with allow" in await machine.says("open of")


async def test_a_killed_stub_holds_nobody_up(svm: SvmProcess, tmp_path: Path) -> None:
    """Whoever waits for a verdict goes on when the stub dies."""
    async with protected(tmp_path, svm.target) as machine:
        await attached(machine)
        svm.signal(signal.SIGSTOP)
        await machine.write("some.txt", b"nobody will say in time")
        namespace = await asyncio.create_subprocess_exec(
            "nsenter", f"--target={machine.process.pid}", "--mount", "--", "sleep", "60"
        )
        waiting = await machine.start("cat", machine.top / "some.txt")
        await asyncio.sleep(0.5)
        assert waiting.returncode is None
        await machine.stop(signal.SIGKILL)
        out, _ = await asyncio.wait_for(waiting.communicate(), 10)
        assert out == b"nobody will say in time"
        namespace.kill()
        await namespace.wait()
        svm.signal(signal.SIGCONT)


async def test_a_thousand_processes_open_files_at_once(svm: SvmProcess, tmp_path: Path) -> None:
    """Each gets its answer, the right one."""
    async with protected(tmp_path, svm.target) as machine:
        await attached(machine)
        for number in range(100):
            await machine.write(f"good{number}", b"good %d" % number)
            await machine.write(f"bad{number}", EICAR)
        opening = """
import os, sys
from pathlib import Path
top, children = sys.argv[1], []
for number in range(1000):
    pid = os.fork()
    if not pid:
        name, bad = (f"bad{number % 100}", True) if number % 10 == 0 else (f"good{number % 100}", False)
        try:
            Path(top, name).read_bytes()
            os._exit(bad)
        except PermissionError:
            os._exit(not bad)
    children.append(pid)
print(sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children))
"""
        ran = await machine.run("python3", "-c", opening, machine.top)
        assert (ran.out, ran.err) == ("0\n", "")


async def test_what_was_let_through_is_looked_at_when_an_svm_is_back(tmp_path: Path) -> None:
    """The journal outlives a killed stub; the stub reconnects by itself."""
    (tmp_path / "svm").mkdir()
    target = f"unix:{tmp_path}/svm/svm.sock"
    async with protected(tmp_path, target) as machine:
        await machine.write("bad.com", EICAR)
        assert (await machine.run("cat", machine.top / "bad.com")).code == 0
        await machine.says("was answered with allow")
        with svm_process(tmp_path / "svm"):
            assert f"{machine.top}/bad.com" in await machine.says("found")
            assert (await machine.run("cat", machine.top / "bad.com")).code == 1


async def test_what_the_kernels_queue_lost_is_looked_for(svm: SvmProcess, tmp_path: Path) -> None:
    """More files are written than the queue holds while the stub stands still; the bad one is found."""
    async with protected(tmp_path, svm.target, "--mode", "notify") as machine:
        await attached(machine)
        machine.process.send_signal(signal.SIGSTOP)
        many = f"i=0; while [ $i -lt 17000 ]; do : > {machine.top}/f$i; i=$((i+1)); done"
        assert (await machine.run("sh", "-c", many)).code == 0
        await machine.run("sh", "-c", f"printf '%s' '{EICAR.decode()}' > {machine.top}/late.com")
        machine.process.send_signal(signal.SIGCONT)
        await machine.says("queue of events was full")
        assert f"{machine.top}/late.com" in await machine.says("found")
        assert (await figures(machine))["walks"] >= 1
