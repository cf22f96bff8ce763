"""A ZIP whose members are stored under a password: WinZip's AE-2 with AES-256, as 7-Zip, libarchive and
pyzipper read it.

Format: https://www.winzip.com/en/support/aes-encryption/ and PKWARE's APPNOTE.TXT 6.3.9. All who pass
such files on know the password: it keeps a sample from being opened by chance, and keeps nobody out.
"""

import hashlib
import hmac
import os
from collections.abc import Callable, Iterable
from struct import pack

_STRENGTH, _SALT_BYTES, _KEY_BYTES, _CHECK_BYTES, _CODE_BYTES = 3, 16, 32, 2, 10
_ROUNDS = 1000  # of PBKDF2, as the format has it
_BLOCK = 16
_ENCRYPTED, _METHOD_AES, _VERSION = 0x1, 99, 51
_DATE = (2000 - 1980) << 9 | 1 << 5 | 1  # no member's own
_FULL32, _FULL16 = 0xFFFFFFFF, 0xFFFF


class ZipWriter:
    """Writes members one after another; close() makes a ZIP of them."""

    def __init__(self, write: Callable[[bytes], None], password: bytes) -> None:
        """write: takes the bytes in their order; what it raises passes through."""
        self._write = write
        self._password = password
        self._position = 0
        self._directory: list[bytes] = []

    def member(self, name: str, size: int, pieces: Iterable[bytes]) -> None:
        """Add a member of exactly this size. name: ASCII. Errors of the pieces pass through."""
        encoded, offset = name.encode("ascii"), self._position
        packed = size + _SALT_BYTES + _CHECK_BYTES + _CODE_BYTES
        local, central = _extra(size, packed), _extra(size, packed, offset)
        self._put(b"PK\x03\x04" + _header(encoded, local) + encoded + local)
        begins = self._position
        self._content(pieces)
        if self._position - begins != packed:
            raise ValueError(f"the pieces of {name} are not {size} bytes together")
        unix, mode = 3 << 8 | _VERSION, 0o100600 << 16
        rest = pack("<HHHII", 0, 0, 0, mode, _FULL32)
        self._directory.append(
            b"PK\x01\x02" + pack("<H", unix) + _header(encoded, central) + rest + encoded + central
        )

    def close(self) -> None:
        """Write the directory, in the form for any size."""
        start, count = self._position, len(self._directory)
        for header in self._directory:
            self._put(header)
        length, end = self._position - start, self._position
        self._put(
            b"PK\x06\x06" + pack("<QHHIIQQQQ", 44, _VERSION, _VERSION, 0, 0, count, count, length, start)
        )
        self._put(b"PK\x06\x07" + pack("<IQI", 0, end, 1))
        self._put(b"PK\x05\x06" + pack("<HHHHIIH", 0, 0, _FULL16, _FULL16, _FULL32, _FULL32, 0))

    def _content(self, pieces: Iterable[bytes]) -> None:
        salt = os.urandom(_SALT_BYTES)
        secret = hashlib.pbkdf2_hmac("sha1", self._password, salt, _ROUNDS, 2 * _KEY_BYTES + _CHECK_BYTES)
        stream = _Stream(secret[:_KEY_BYTES])
        code = hmac.new(secret[_KEY_BYTES : 2 * _KEY_BYTES], digestmod="sha1")
        self._put(salt + secret[2 * _KEY_BYTES :])
        for piece in pieces:
            encrypted = stream.apply(piece)
            code.update(encrypted)
            self._put(encrypted)
        self._put(code.digest()[:_CODE_BYTES])

    def _put(self, data: bytes) -> None:
        self._write(data)
        self._position += len(data)


def _extra(*numbers: int) -> bytes:
    """How a member is encrypted, and the sizes and the offset that the header leaves to this place."""
    encryption = pack("<HHH2sBH", 0x9901, 7, 2, b"AE", _STRENGTH, 0)
    return encryption + pack(f"<HH{len(numbers)}Q", 1, 8 * len(numbers), *numbers)


def _header(name: bytes, extra: bytes) -> bytes:
    """What a member's header and its entry in the directory have in common."""
    return pack(
        "<HHHHHIIIHH", _VERSION, _ENCRYPTED, _METHOD_AES, 0, _DATE, 0, _FULL32, _FULL32, len(name), len(extra)
    )


class _Stream:
    """AES in counter mode with a little-endian counter from 1, which no library has."""

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415 - see cipher

        mode = modes.ECB()  # noqa: S305 - of counters, which makes it counter mode
        self._encrypt = Cipher(algorithms.AES(key), mode).encryptor().update
        self._block = 1
        self._left = b""

    def apply(self, piece: bytes) -> bytes:
        """The piece encrypted, or decrypted."""
        blocks = -(-(len(piece) - len(self._left)) // _BLOCK)
        counters = range(self._block, self._block + max(0, blocks))
        self._block += max(0, blocks)
        key = self._left + self._encrypt(b"".join(number.to_bytes(_BLOCK, "little") for number in counters))
        self._left = key[len(piece) :]
        mixed = int.from_bytes(piece, "little") ^ int.from_bytes(key[: len(piece)], "little")
        return mixed.to_bytes(len(piece), "little")
