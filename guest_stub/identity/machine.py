"""What tells this machine from its copies: a digest of its machine-id(5), and the UUID that its host gave
it."""

import hashlib
import re
from pathlib import Path
from uuid import UUID

MACHINE_ID = Path("/etc/machine-id")
PRODUCT_UUID = Path("/sys/class/dmi/id/product_uuid")
_LABEL = b"kvm-light-agent machine\0"
_DIGITS = re.compile(rb"[0-9a-f]{32}")


def machine(file: Path = MACHINE_ID) -> bytes:
    """32 bytes, from which the machine-id cannot be told; b"" where the machine has none."""
    try:
        with file.open("rb") as opened:
            said = opened.read(64).strip()
    except OSError:
        return b""
    return hashlib.sha256(_LABEL + said).digest() if _DIGITS.fullmatch(said) else b""


def hardware(file: Path = PRODUCT_UUID) -> str:
    """The UUID of the (virtual) hardware, which a copy of the disk does not take along; "" where it has none.

    libvirt has the machine show its own UUID there. root alone may read it.
    """
    try:
        with file.open("rb") as opened:
            return str(UUID(opened.read(64).decode("ascii").strip()))
    except (OSError, ValueError):
        return ""
