"""A disk that a real qemu-nbd serves."""

import socket
import subprocess
import time
from pathlib import Path

import pytest

from appliance.disk_reader.nbd import NbdFailed, NbdStream
from tests.support.disk_images import converted, empty
from tests.support.svm import DEADLINE


def test_a_disk_is_read_over_a_socket_until_its_server_goes(tmp_path: Path) -> None:
    """Wherever one reads; what is not there is a sentence."""
    raw = empty(tmp_path / "disk.raw", 3)
    with raw.open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"here" * 100_000)
    image = converted(raw, tmp_path / "disk.qcow2")
    path = tmp_path / "socket"
    words = ["qemu-nbd", "-f", "qcow2", "-r", "-e", "4", "-t", "-k", str(path), "-x", "vda", str(image)]
    with subprocess.Popen(words) as server:
        try:
            disk = NbdStream(connected(path).detach(), "vda")
            assert disk.size == 3 << 20
            assert disk.read() == raw.read_bytes()
            disk.seek(1_000_002)
            assert disk.read(6) == b"rehere"
            with pytest.raises(NbdFailed, match="no disk of the name vdb"):
                NbdStream(connected(path).detach(), "vdb")
        finally:
            server.kill()
    for _ in range(2):  # whether it is noticed while asking or while waiting
        disk.seek(0)
        with pytest.raises(NbdFailed, match="the server of the disk has gone"):
            disk.read(1)
    disk.close()


def connected(path: Path) -> socket.socket:
    """A connection to a server that may just be starting."""
    end = time.monotonic() + DEADLINE
    while True:
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            line.connect(str(path))
        except OSError:
            line.close()
            assert time.monotonic() < end
            time.sleep(0.02)
        else:
            return line


def test_what_is_no_server_of_disks_is_told() -> None:
    """Whatever it says."""
    for said in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"NBDMAGIC" + b"\0" * 10, b"short"):
        ours, theirs = socket.socketpair()
        theirs.sendall(said)
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(NbdFailed):
            NbdStream(ours.detach(), "vda")
        theirs.close()
