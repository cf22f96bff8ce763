"""The key of a quarantine and what is encrypted with it: pieces in order, none of which can be left out.

AES-256-GCM. Each sealed file has a key of its own, made from the quarantine's and from the file's random
beginning, so that a counter is nonce enough. The package `cryptography` is imported at the first use: it
costs some 10 MB, which a guest without finds does not pay; load_cipher() is such a use.
"""

import hashlib
import hmac
import os
import stat
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

from guest_stub.remediation.done import Refused

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
TAG_BYTES = 16
KEY_FILE = "key"
_NONCE_BYTES = 12


class KeyRefused(Refused):
    """The key cannot be used; the message says why and what to do."""


class Forged(Exception):
    """A piece is not what was sealed at this place, under this key."""


class Key:
    """The key of a quarantine."""

    def __init__(self, secret: bytes) -> None:
        """secret: KEY_BYTES random bytes."""
        self._secret = secret
        self.id = hashlib.sha256(b"kvm-light-agent quarantine key\0" + secret).digest()[:8]

    def of_file(self, beginning: bytes) -> "FileKey":
        """The key of the file that begins so, with 32 random bytes in it."""
        return FileKey(hmac.digest(self._secret, b"sealed file\0" + beginning, "sha256"))


class FileKey:
    """Encrypts, or decrypts, the pieces of one file in their order."""

    def __init__(self, secret: bytes) -> None:
        """For Key.of_file."""
        self._secret = secret
        self._count = 0

    @cached_property
    def _cipher(self) -> "AESGCM":
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - see the module

        return AESGCM(self._secret)

    def _nonce(self) -> bytes:
        self._count += 1
        return self._count.to_bytes(_NONCE_BYTES, "big")

    def seal(self, piece: bytes | memoryview, label: bytes) -> bytes:
        """The piece encrypted, TAG_BYTES longer; it opens at the same place with the same label only."""
        return self._cipher.encrypt(self._nonce(), piece, label)

    def open(self, sealed: bytes, label: bytes) -> bytes:
        """The piece. Raises Forged."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - see the module

        try:
            return self._cipher.decrypt(self._nonce(), sealed, label)
        except InvalidTag:
            raise Forged from None


def load_cipher() -> None:
    """Import the package now, for a process that must not import it later, and have it open what it opens."""
    sealed = Key(bytes(KEY_BYTES)).of_file(b"").seal(b"", b"")
    with suppress(Forged):
        Key(bytes(KEY_BYTES)).of_file(b"other").open(sealed, b"")


def load_key(directory: int, make: bool) -> Key | None:
    """The key in an open directory; made where there is none, or None. Raises KeyRefused and OSError."""
    try:
        return _read(directory)
    except FileNotFoundError:
        if not make:
            return None
    _make(directory)
    return _read(directory)


def _read(directory: int) -> Key:
    fd = os.open(KEY_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    try:
        status = os.fstat(fd)
        secret = os.read(fd, KEY_BYTES + 1)
    finally:
        os.close(fd)
    if not stat.S_ISREG(status.st_mode) or len(secret) != KEY_BYTES:
        raise KeyRefused(
            f"the quarantine's file {KEY_FILE!r} is no key of {KEY_BYTES} bytes: put it back from a "
            "backup, or move it away, and what was sealed with it cannot be restored"
        )
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise KeyRefused(
            f"the quarantine's file {KEY_FILE!r} belongs to another user or others may read it: chown it to "
            f"uid {os.geteuid()}, chmod it to 600"
        )
    return Key(secret)


def _make(directory: int) -> None:
    """Whole or not at all, and never in place of another that was made meanwhile."""
    name = f"{KEY_FILE}.{os.urandom(8).hex()}.part"
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=directory)
    try:
        os.write(fd, os.urandom(KEY_BYTES))
        os.fsync(fd)
        os.link(name, KEY_FILE, src_dir_fd=directory, dst_dir_fd=directory)
    except FileExistsError:
        pass
    finally:
        os.close(fd)
        os.unlink(name, dir_fd=directory)
    os.fsync(directory)
