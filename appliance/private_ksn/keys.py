"""API keys: the file of their hashes, and whose a presented key is.

A line is "NAME SHA-256-of-the-key"; empty lines and those that begin with "#" do not count. Keys are 256
random bits, so a plain hash of them tells nothing; a key that a person thought up would need more.
"""

import hashlib
import hmac
import re
import secrets
from pathlib import Path

MAX_KEYS = 1000
MAX_KEY_LETTERS = 200
_LINE = re.compile(r"([A-Za-z0-9._-]{1,40})\s+([0-9a-f]{64})")


class KeysError(Exception):
    """The file of keys cannot be used; the message says why."""


class Keys:
    """The keys that count."""

    def __init__(self, hashes: dict[str, bytes]) -> None:
        """hashes: the SHA-256 of each key, by whose it is."""
        self._hashes = tuple(hashes.items())

    def owner(self, presented: str) -> str | None:
        """Whose key it is, None for nobody's. Takes the same time whichever fits."""
        if not presented or len(presented) > MAX_KEY_LETTERS:
            return None
        digest = hashlib.sha256(presented.encode(errors="surrogateescape")).digest()
        found = None
        for name, known in self._hashes:
            if hmac.compare_digest(digest, known):
                found = name
        return found

    def __len__(self) -> int:
        return len(self._hashes)


def load_keys(path: Path) -> Keys:
    """Read the file, or raise KeysError."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise KeysError(
            f"{path}: cannot be read: {error}; `private-ksn key NAME` makes a line of it"
        ) from error
    hashes: dict[str, bytes] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise KeysError(
                f"{path}:{number}: must be NAME and 64 hexadecimal digits, as `private-ksn key` prints"
            )
        if match[1] in hashes:
            raise KeysError(f"{path}:{number}: there is a key of {match[1]} already")
        hashes[match[1]] = bytes.fromhex(match[2])
    if not hashes or len(hashes) > MAX_KEYS:
        raise KeysError(f"{path}: has {len(hashes)} keys; 1 to {MAX_KEYS} are needed")
    return Keys(hashes)


def new_key(name: str) -> tuple[str, str]:
    """A key that nobody has, and its line of the file."""
    key = secrets.token_urlsafe(32)
    return key, f"{name} {hashlib.sha256(key.encode()).hexdigest()}"
