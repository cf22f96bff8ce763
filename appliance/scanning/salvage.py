"""What stands in a compressed file before it breaks off, and where bytes begin that are not its own.

libarchive gives what it decompresses in blocks, and loses the one in which something is wrong: of a
small file that is everything, and one byte behind an xz is enough for it. Other programs give out
what they have got by then, so it has to be looked at.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from appliance.scanning.containers import Bytes, first_not_zero

# So little is given at a time, since what comes out of the piece in which an error stands is lost.
_PIECE = 256
_MOST = 65536  # bytes that come out at once
_MOST_MEMORY = 1 << 30  # as libarchive has it
_MOST_DICTIONARY = 1 << 28
_MOST_STREAMS = 50_000  # in a row
_MOST_BLOCKS = 1_000_000  # of zstd

_DECOMPRESSORS: dict[str, Callable[[], Any]] = {
    "gzip": partial(zlib.decompressobj, 16 + zlib.MAX_WBITS),
    "bzip2": bz2.BZ2Decompressor,
    "xz": partial(lzma.LZMADecompressor, lzma.FORMAT_XZ, _MOST_MEMORY),
    "lzma": partial(lzma.LZMADecompressor, lzma.FORMAT_ALONE, _MOST_MEMORY),
}
_BROKEN = (zlib.error, lzma.LZMAError, OSError, EOFError)

_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPED = b"\x2a\x4d\x18"  # behind a byte 0x50 to 0x5f: a frame with something else in it


def salvaged(compression: str, data: Bytes, start: int, known: int) -> Iterator[bytes]:
    """Yield, in order, what is packed in `data` from `start` on until something is wrong with it.

    compression: a name of libarchive's filters; of those that Python does not know nothing comes.
    known: how many bytes at the beginning are left out.
    """
    make = _DECOMPRESSORS.get(compression)
    if make is None:
        return
    for out in _unpacked(make, data, start):
        if known < len(out):
            yield out[known:]
        known = max(0, known - len(out))


def _unpacked(make: Callable[[], Any], data: Bytes, at: int) -> Iterator[bytes]:
    for _ in range(_MOST_STREAMS):
        decompressor = make()
        head = _with_usual_dictionary(data[at : at + _PIECE]) if make is _DECOMPRESSORS["lzma"] else b""
        try:
            while at < len(data) and not decompressor.eof:
                out = decompressor.decompress(head or data[at : at + _PIECE], _MOST)
                head = b""
                at += _PIECE
                while out:
                    yield out
                    rest = getattr(decompressor, "unconsumed_tail", b"")
                    out = b"" if decompressor.eof else decompressor.decompress(rest, _MOST)
        except _BROKEN:
            return
        at = min(at, len(data)) - len(decompressor.unused_data)
        at = first_not_zero(data, at)
        if at >= len(data):
            return


def _with_usual_dictionary(head: bytes) -> bytes:
    # A larger one than all that is kept of a content needs changes nothing but the memory that it takes.
    size = int.from_bytes(head[1:5], "little")
    return head[:1] + min(size, _MOST_DICTIONARY).to_bytes(4, "little") + head[5:]


def inflated(data: Bytes, start: int, end: int) -> Iterator[bytes]:
    """Yield what is deflated in `data` from `start` to `end`, a member of a zip, until something is wrong."""
    decompressor = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for at in range(start, end, _PIECE):
            rest = data[at : min(end, at + _PIECE)]
            while rest and not decompressor.eof:
                out = decompressor.decompress(rest, _MOST)
                if out:
                    yield out
                rest = decompressor.unconsumed_tail
        while out := decompressor.decompress(b"", _MOST):
            yield out
    except zlib.error:
        return


def as_it_is(data: Bytes, start: int, end: int) -> Iterator[bytes]:
    """Yield the bytes of `data` from `start` to `end`."""
    for at in range(start, end, _MOST):
        yield data[at : min(end, at + _MOST)]


def end_of_zstd(data: Bytes, start: int) -> int:
    """Return where the whole zstd frames end that begin at `start`; the end of `data` where none is whole.

    The lengths of a frame's blocks stand in it (https://www.rfc-editor.org/rfc/rfc8878, 3.1).
    """
    at = end = start
    blocks = 0
    while blocks < _MOST_BLOCKS:
        blocks += 1
        if data[at + 1 : at + 4] == _ZSTD_SKIPPED and data[at] >> 4 == 5:
            at += 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        elif data[at : at + 4] == _ZSTD:
            flags = data[at + 4] if at + 4 < len(data) else 0
            one_segment = flags >> 5 & 1
            size_of_size = (one_segment, 2, 4, 8)[flags >> 6]
            at += 5 + (1 - one_segment) + (0, 1, 2, 4)[flags & 3] + size_of_size
            last = False
            while not last and at < len(data) and blocks < _MOST_BLOCKS:
                head = int.from_bytes(data[at : at + 3], "little")
                last, kind, size = bool(head & 1), head >> 1 & 3, head >> 3
                at += 3 + (1 if kind == 1 else size)
                blocks += 1
            if not last:
                break
            at += 4 * (flags >> 2 & 1)  # a checksum
        else:
            break
        if at > len(data):
            break
        end = at
    return end if end > start else len(data)
