"""Changes that a real qemu-nbd tells of, and servers that say what cannot be."""

import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.disk_reader.bounds import Patience
from appliance.disk_reader.nbd import NbdFailed
from appliance.disk_reader.nbd_changes import changes_of
from tests.support.disk_images import tool
from tests.unit.appliance.disk_reader.test_nbd import connected

SIZE = (5 << 30) + 65536
GRAIN = 65536


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Path]:
    """Where an image is served that was written to here and there since its bitmap began."""
    made = tmp_path / "disk.qcow2"
    tool("qemu-img", "create", "-q", "-f", "qcow2", made, str(SIZE))
    tool("qemu-img", "bitmap", "--add", made, "ours")
    places = (0, 5 * GRAIN, (1 << 30) - 512, (5 << 30) + 65024)
    words = [word for at in places for word in ("-c", f"write -P 5 {at} {1024 if at < SIZE - 512 else 512}")]
    tool("qemu-io", "-f", "qcow2", *words, made)
    path = tmp_path / "socket"
    line = ["qemu-nbd", "-f", "qcow2", "-r", "-e", "4", "-t", "-k", str(path), "-x", "vda", "-B", "ours"]
    with subprocess.Popen([*line, str(made)]) as server:
        yield path
        server.kill()


def test_changes_of_a_disk_are_told(served: Path) -> None:
    """All of them, over steps and to its end; other bitmaps and disks are a sentence."""
    told = changes_of(connected(served).detach(), "vda", "ours", SIZE, Patience())
    assert list(told) == [
        (0, GRAIN),
        (5 * GRAIN, 6 * GRAIN),
        ((1 << 30) - GRAIN, (1 << 30) + GRAIN),
        (5 << 30, SIZE),
    ]
    with pytest.raises(NbdFailed, match="does not know the bitmap"):
        changes_of(connected(served).detach(), "vda", "other", SIZE, Patience())
    with pytest.raises(NbdFailed, match="changes to another disk"):
        changes_of(connected(served).detach(), "vda", "ours", SIZE - 512, Patience())


def reply(kind: int, said: bytes = b"", flags: int = 1, handle: int = 0) -> bytes:
    """A structured reply."""
    return struct.pack(">IHHQI", 0x668E33EF, flags, kind, handle, len(said)) + said


def answer(kind: int, said: bytes = b"") -> bytes:
    """An answer to an option."""
    return struct.pack(">QIII", 0x3E889045565A9, 0, kind, len(said)) + said


CONTEXT = b"qemu:dirty-bitmap:ours"
AGREED = (
    b"NBDMAGICIHAVEOPT\0\3"
    + answer(1)
    + answer(4, struct.pack(">I", 9) + CONTEXT)
    + answer(1)
    + answer(3, struct.pack(">HQH", 0, 1 << 20, 0))
    + answer(1)
)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"NBDMAGICIHAVEOPT\0\3" + answer(0x80000001), "does not tell what was changed"),
        (AGREED + reply(0), "does not tell what was changed"),
        (AGREED + reply(5, struct.pack(">III", 8, 1 << 20, 0)), "that were not asked for"),
        (AGREED + reply(5, struct.pack(">III", 9, 0, 0)), "without a length"),
        (AGREED + reply(5, b"123"), "that were not asked for"),
        (
            AGREED + reply(5, struct.pack(">III", 9, 512, 0), 0) + reply(5, struct.pack(">III", 9, 512, 0)),
            "not asked",
        ),
        (AGREED + reply(0x8001, b"\0\0\0\5\0\0"), "cannot tell what was changed"),
        (AGREED + reply(0, handle=7), "answers what was not asked"),
        (AGREED, "has gone"),
    ],
)
def test_a_server_that_says_what_cannot_be_is_told(said: bytes, why: str) -> None:
    """Nothing of a disk counts as unchanged for it."""
    ours, theirs = socket.socketpair()
    theirs.sendall(said)
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(NbdFailed, match=why):
        changes_of(ours.detach(), "vda", "ours", 1 << 20, Patience())
    theirs.close()


def test_more_than_the_disk_has_is_cut(tmp_path: Path) -> None:
    """The last part may reach beyond the end."""
    ours, theirs = socket.socketpair()
    theirs.sendall(AGREED + reply(5, struct.pack(">IIIII", 9, 512, 0, 1 << 31, 1)))
    assert list(changes_of(ours.detach(), "vda", "ours", 1 << 20, Patience())) == [(512, 1 << 20)]
    theirs.close()
