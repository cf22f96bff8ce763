"""What tells this machine from its copies: a digest of its machine-id(5)."""

import hashlib
import re
from pathlib import Path

MACHINE_ID = Path("/etc/machine-id")
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
