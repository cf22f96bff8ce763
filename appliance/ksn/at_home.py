"""Contents that every system holds; asking about them tells nothing to anybody, so nobody does."""

import hashlib
from typing import Final

AT_HOME: Final = frozenset(
    hashlib.sha256(content).digest()
    for content in (b"", b"\n", b"\r\n", b" ", b"\0", b"0", b"0\n", b"1", b"1\n")
)
SENTENCE: Final = "every system holds this content: KSN is never asked about it"
