"""Tests of what tells a machine from its copies."""

import hashlib
from pathlib import Path

import pytest

from guest_stub.identity.machine import hardware, machine

DIGITS = b"0123456789abcdef0123456789abcdef"


def test_it_is_a_digest_of_the_machine_id(tmp_path: Path) -> None:
    """32 bytes, from which nobody reads the machine-id itself."""
    (tmp_path / "id").write_bytes(DIGITS + b"\n")
    assert machine(tmp_path / "id") == hashlib.sha256(b"kvm-light-agent machine\0" + DIGITS).digest()


@pytest.mark.parametrize(
    "said", [b"", b"uninitialized\n", DIGITS.upper(), DIGITS[:-1], DIGITS + b"\n" + DIGITS]
)
def test_what_is_no_machine_id_is_none(tmp_path: Path, said: bytes) -> None:
    """As in an image that was not started yet."""
    (tmp_path / "id").write_bytes(said)
    assert machine(tmp_path / "id") == b""
    assert machine(tmp_path / "not-there") == b""


def test_the_hardware_has_a_uuid_of_its_own(tmp_path: Path) -> None:
    """In small letters; what is none is none, as where only root may read it."""
    uuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
    (tmp_path / "uuid").write_text(f"{uuid.upper()}\n")
    assert hardware(tmp_path / "uuid") == uuid
    for said in (b"", b"Not Settable\n", b"\xff" * 36):
        (tmp_path / "uuid").write_bytes(said)
        assert hardware(tmp_path / "uuid") == ""
    assert hardware(tmp_path / "not-there") == ""
