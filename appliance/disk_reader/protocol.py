"""What `svm-host` and the program `disk-reader` say to each other, over two pipes.

    svm-host -> reader   {"ask": "open", ...}     once: which disks, as descriptors, and how much may be read;
                                                  what was read before, and what tells which of it was changed
                         {"ask": "walk", "volume": N}   from now on about this volume
                         {"ask": "next"}          the next files of it
                         {"ask": "content", "file": N}  the bytes of one of the files told last
    reader -> svm-host   {"say": "volumes", ...}, {"say": "files", ...}, {"say": "content"} with bytes, in the
                         order of the questions; {"say": "busy"} in between, so that it is known to be alive;
                         {"say": "failed", "why": ...} instead of an answer

What was read before is in a file: records of RECORD_BYTES, a layout (see `unchanged`) and a SHA-256 each, in
the order of the layouts.

A message is its head's length, its bytes' length (both u32, little endian), a head in JSON, and bytes.
A reader reads hostile disks, so what it says is hostile too: what breaks the form raises Garbled.
"""

import json
import os
import struct
from typing import Any, Final

MAX_HEAD_BYTES: Final = 2 << 20
MAX_CHUNK_BYTES: Final = 512 << 10
FILES_OF_BATCH: Final = 256
PATHS_OF_BATCH: Final = 128 << 10  # bytes of paths, after which a batch is sent
BATCHES_KEPT: Final = 16  # of the last so many the content can be asked for
MAX_PATH_BYTES: Final = 4096
MAX_WORDS: Final = 300  # letters of a sentence
BUSY_SECONDS: Final = 1.0
LAYOUT_BYTES: Final = 32
DIGEST_BYTES: Final = 32
RECORD_BYTES: Final = LAYOUT_BYTES + DIGEST_BYTES

_LENGTHS: Final = struct.Struct("<II")


class Garbled(Exception):
    """What came is no message. The text says what is wrong with it."""


class Ended(Exception):
    """The other side is gone, or has nothing more to say."""


def packed(head: dict[str, Any], body: bytes | memoryview = b"") -> bytes:
    """A message but for its bytes."""
    words = json.dumps(head, separators=(",", ":")).encode()
    if len(words) > MAX_HEAD_BYTES or len(body) > MAX_CHUNK_BYTES:
        raise ValueError(f"a message of {len(words)} and {len(body)} bytes is too long")
    return _LENGTHS.pack(len(words), len(body)) + words


def send(fd: int, head: dict[str, Any], body: bytes | memoryview = b"") -> None:
    """Write a message; may wait for the other side."""
    _write(fd, packed(head, body))
    if body:
        _write(fd, body)


def _write(fd: int, data: bytes | memoryview) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


class Inbox:
    """Takes messages apart as they come. Give it what was read, ask for what is whole."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        """Take what was read."""
        self._data += data

    def take(self) -> tuple[dict[str, Any], bytes] | None:
        """The next message, None where it is not whole yet. Raises Garbled."""
        if len(self._data) < _LENGTHS.size:
            return None
        head_bytes, body_bytes = _LENGTHS.unpack_from(self._data)
        if head_bytes > MAX_HEAD_BYTES or body_bytes > MAX_CHUNK_BYTES:
            raise Garbled(f"a message of {head_bytes} and {body_bytes} bytes")
        start, end = _LENGTHS.size + head_bytes, _LENGTHS.size + head_bytes + body_bytes
        if len(self._data) < end:
            return None
        head = _parsed(bytes(self._data[_LENGTHS.size : start]))
        body = bytes(self._data[start:end])
        del self._data[:end]
        return head, body


def _parsed(words: bytes) -> dict[str, Any]:
    try:
        head = json.loads(words)
    except (ValueError, RecursionError) as error:
        raise Garbled("a head that is not JSON") from error
    if not isinstance(head, dict):
        raise Garbled("a head that is no JSON object")
    return head


def receive(fd: int, inbox: Inbox) -> tuple[dict[str, Any], bytes]:
    """The next message, waited for. Raises Ended where none comes any more."""
    while (message := inbox.take()) is None:
        data = os.read(fd, 1 << 16)
        if not data:
            raise Ended
        inbox.feed(data)
    return message


def natural(said: Any) -> int:
    """A number that is said, from 0 to what 64 bits hold. Raises Garbled."""
    if not isinstance(said, int) or isinstance(said, bool) or not 0 <= said < 1 << 64:
        raise Garbled("a number that is none")
    return said


def sentence(said: Any) -> str:
    """A text that is said, printable and of a length that people read. Raises Garbled."""
    if not isinstance(said, str):
        raise Garbled("a text that is none")
    return "".join(letter if letter.isprintable() else "?" for letter in said[:MAX_WORDS])
