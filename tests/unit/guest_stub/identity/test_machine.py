"""Tests of what tells a machine from its copies."""

import hashlib
from pathlib import Path

import pytest

from guest_stub.identity.machine import machine

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
