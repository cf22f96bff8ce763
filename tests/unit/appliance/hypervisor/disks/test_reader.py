"""The program that reads disks, behind real walls."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from appliance.hypervisor.disks.reader import AnswerFailed, CannotRead, DiskReader, ReaderEnded, find_sandbox
from appliance.scanning.sandbox import Sandbox
from tests.support.descriptors import processes_that_hold
from tests.support.disk_images import ext4, write_tree
from tests.support.scanning import until

_FAILS_WITHOUT_WORDS = """
import os
os.read(0, 1)
os.write(1, bytes([25, 0, 0, 0, 0, 0, 0, 0]) + b'{"say":"failed","why":{}}')
while os.read(0, 1 << 20): pass
"""

_FALLS_SILENT = """
import os
for said in (b'{"volumes":[],"unknown":[""]}', b'{}'):
    os.read(0, 1 << 16)
    os.write(1, bytes([len(said), 0, 0, 0, 0, 0, 0, 0]) + said)
while os.read(0, 1 << 16): pass
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[int]:
    """A descriptor of an image with files on it."""
    write_tree(tmp_path / "tree")
    fd = os.open(ext4(tmp_path / "tree", tmp_path / "image"), os.O_RDONLY)
    yield fd
    os.close(fd)


def told(fd: int) -> list[list[dict[str, object]]]:
    """A disk of one raw layer."""
    return [[{"format": "raw", "fds": [fd], "extents": []}]]


async def test_files_and_contents_come_through_the_walls(disk: int) -> None:
    """A content that is wanted no more keeps nothing from coming behind it."""
    async with DiskReader(find_sandbox(), [disk]) as reader:
        (volume,) = await reader.open(told(disk), 1000, 1 << 30)
        assert (volume.kind, volume.size) == ("ext4", 32 << 20)
        await reader.walk(0)
        files = (await reader.batch()).files
        large = next(file for file in files if file.path == b"/usr/bin/large")
        async with aclosing(reader.content(large.number)) as chunks:
            async for chunk in chunks:
                assert chunk
                break
        whole = b"".join([chunk async for chunk in reader.content(large.number)])
        assert len(whole) == large.size
        with pytest.raises(AnswerFailed, match="too long ago"):
            await anext(reader.content(9999))


async def test_its_end_is_a_sentence_for_everybody_who_waits(disk: int) -> None:
    """Killed as by the kernel for want of memory."""
    async with DiskReader(find_sandbox(), [disk]) as reader:
        await reader.open(told(disk), 1000, 1 << 30)
        os.kill(reader._process.pid, signal.SIGKILL)
        await reader._process.wait()  # what is behind the walls ends with it, and may answer until then
        with pytest.raises(ReaderEnded, match=r"ended (by signal|with)"):
            await reader.walk(0)
        with pytest.raises(ReaderEnded):
            await reader.walk(0)


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("import os; os.write(1, b'\\xff' * 100)", "said what cannot be"),
        ("import os; os.write(1, b'\\2\\0\\0\\0\\0\\0\\0\\0[]')", "said what cannot be"),
        (_FAILS_WITHOUT_WORDS, "said what cannot be .a text that is none"),
        ("raise SystemExit('no dissect here')", "ended with 1: no dissect here"),
    ],
)
async def test_a_program_that_says_what_cannot_be_is_ended(disk: int, program: str, why: str) -> None:
    """Whatever it is."""
    sandbox = find_sandbox()
    command = (*sandbox.runtime.command[:-2], "-c", program)
    runtime = type(sandbox.runtime)(command, sandbox.runtime.environment, sandbox.runtime.paths)
    async with asyncio.timeout(60), DiskReader(Sandbox(sandbox.bubblewrap, runtime), [disk]) as reader:
        with pytest.raises(ReaderEnded, match=why):
            await reader.open(told(disk), 1, 1)


async def test_one_that_falls_silent_is_ended(disk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of it too, when it was asked after its last answer was waited for."""
    sandbox = find_sandbox()
    command = (*sandbox.runtime.command[:-2], "-c", _FALLS_SILENT)
    runtime = type(sandbox.runtime)(command, sandbox.runtime.environment, sandbox.runtime.paths)
    async with asyncio.timeout(60), DiskReader(Sandbox(sandbox.bubblewrap, runtime), [disk]) as reader:
        assert await reader.open(told(disk), 1, 1) == []
        monkeypatch.setattr("appliance.hypervisor.disks.reader.SILENT_SECONDS", 0.2)
        await reader.walk(0)
        with pytest.raises(ReaderEnded, match="said nothing for"):
            await reader.batch()


async def test_nothing_is_left_of_one_that_is_given_up_while_it_starts(tmp_path: Path) -> None:
    """At any moment of that, once or twice: no process has the image open any more."""
    (tmp_path / "image").touch()
    fd = os.open(tmp_path / "image", os.O_RDONLY)
    sandbox = find_sandbox()
    loop = asyncio.get_running_loop()
    for round_ in range(60):
        task = loop.create_task(DiskReader(sandbox, [fd]).__aenter__())
        await asyncio.sleep(0.0005 + (round_ // 2) * 0.0006)  # not to wait for anything: to be anywhere
        task.cancel()
        if round_ % 2:
            loop.call_soon(task.cancel)
        (reader,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(reader, DiskReader):
            await reader.__aexit__(None, None, None)
    os.close(fd)
    await until(lambda: not processes_that_hold(tmp_path / "image"), "nothing is left")


def test_without_bubblewrap_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read without walls."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CannotRead, match="bubblewrap"):
        find_sandbox()


async def test_inside_there_is_no_network_and_nothing_to_open(disk: int, tmp_path: Path) -> None:
    """Of the host's files it has the interpreter's and the libraries' alone."""
    (tmp_path / "secret").write_text("x")
    sandbox = find_sandbox()
    looking = (
        "import os,socket,sys\n"
        f"seen = os.path.exists({str(tmp_path / 'secret')!r}) or os.path.exists('/etc/shadow')\n"
        "names = [name for _, name in socket.if_nameindex()]\n"
        "try:\n  open('/tmp/x', 'w'); seen = True\nexcept OSError: pass\n"
        "sys.exit(f'seen {seen} {os.getuid()} {names}')\n"
    )
    command = (*sandbox.runtime.command[:-2], "-c", looking)
    runtime = type(sandbox.runtime)(command, sandbox.runtime.environment, sandbox.runtime.paths)
    async with DiskReader(Sandbox(sandbox.bubblewrap, runtime), [disk]) as reader:
        with pytest.raises(ReaderEnded, match=r"seen False 65534 \['lo'\]"):
            await reader.open(told(disk), 1, 1)
