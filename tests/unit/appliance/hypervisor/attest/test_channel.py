"""The socket of a machine's channel, with a server in QEMU's place."""

import asyncio
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.hypervisor.attest import channel as module
from appliance.hypervisor.attest.channel import ChannelError, opened
from tests.support.owners import give, only_root, somebodys_place


@pytest.fixture
def qemu(tmp_path: Path) -> Iterator[tuple[Path, socket.socket]]:
    """A path, and what listens there: one at a time, as QEMU does."""
    path = tmp_path / "enrol.0"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(1)
        listening.setblocking(False)
        yield path, listening


async def test_both_ends_are_heard_until_qemu_goes(qemu: tuple[Path, socket.socket]) -> None:
    """Its end is the end of what can be received."""
    path, listening = qemu
    loop = asyncio.get_running_loop()
    async with opened(path) as line:
        machine, _ = await loop.sock_accept(listening)
        with machine:
            await loop.sock_sendall(machine, b"ask\n")
            assert await line.receive() == b"ask\n"
            await line.send(b"answer\n")
            assert await loop.sock_recv(machine, 100) == b"answer\n"
            with pytest.raises(TimeoutError):
                await line.receive(0.01)
        assert await line.receive() == b""


async def test_one_holds_it_at_a_time(qemu: tuple[Path, socket.socket]) -> None:
    """Another is told so at once; QEMU would let him wait, and nobody would know why."""
    path, _ = qemu
    async with opened(path):
        with pytest.raises(ChannelError, match="another svm-host attends to its channel"):
            async with opened(path):
                raise AssertionError
    async with opened(path):
        pass


async def test_a_machine_that_takes_nothing_is_given_up(
    qemu: tuple[Path, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it would read is not kept for it."""
    monkeypatch.setattr(module, "SEND_SECONDS", 0.05)
    path, _ = qemu
    async with opened(path) as line:
        with pytest.raises(ChannelError, match="takes nothing of what is sent"):
            await line.send(b"x" * (1 << 24))


async def test_what_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    """The directory goes with its machine; so does the socket."""
    with pytest.raises(ChannelError, match="svm-host has to run on the host itself"):
        async with opened(tmp_path / "gone" / "enrol.0"):
            raise AssertionError
    with pytest.raises(ChannelError, match="is its machine still running"):
        async with opened(tmp_path / "enrol.0"):
            raise AssertionError


@only_root
def test_with_the_rights_of_its_unit_it_reaches_the_socket_of_another_user() -> None:
    """QEMU's user has the directories of its sockets for itself, which root alone may not enter."""
    unit = (Path(module.__file__).parents[1] / "systemd" / "svm-host.service").read_text()
    [rights] = re.findall(r"^CapabilityBoundingSet=(.*)$", unit, re.MULTILINE)
    kept = "".join(f",+{each.removeprefix('CAP_').lower()}" for each in rights.split())
    connects = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    with somebodys_place() as place, socket.socket(socket.AF_UNIX) as listening:
        place.chmod(0o750)
        listening.bind(str(place / "s"))
        listening.listen(1)
        give(place)
        words = ["setpriv", "--bounding-set", f"-all{kept}", "--inh-caps", "-all", "--no-new-privs"]
        words += [sys.executable, "-c", connects, str(place / "s")]
        ran = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
