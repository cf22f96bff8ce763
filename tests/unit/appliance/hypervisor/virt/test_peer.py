"""Who serves a socket; a real QEMU does in tests/hosts/test_scan_image_at_once.py."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.hypervisor.virt.peer import uuid_of_peer

UUID = "bbbbbbbb-0000-4000-8000-000000000001"
_SERVE = """
import socket, sys
with socket.socket(socket.AF_UNIX) as door:
    door.bind(sys.argv[1])
    door.listen()
    print(flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("words", "uuid"),
    [(("-uuid", UUID.upper(), "-name", "x"), UUID), (("-name", UUID), ""), (("-uuid",), "")],
)
def test_the_machine_is_told_by_the_process_that_listens(
    tmp_path: Path, words: tuple[str, ...], uuid: str
) -> None:
    """By its command line, as libvirt starts QEMU; what says no UUID is not known."""
    command = [sys.executable, "-c", _SERVE, str(tmp_path / "s"), *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        server.stdout.readline()
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(tmp_path / "s"))
            assert uuid_of_peer(line) == uuid


def test_what_has_no_other_end_is_not_known() -> None:
    """As where the kernel tells nothing."""
    with socket.socket(socket.AF_UNIX) as line:
        assert uuid_of_peer(line) == ""
