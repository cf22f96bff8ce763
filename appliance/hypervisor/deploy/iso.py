"""An ISO 9660 file system with Joliet names, of a few small files: what NoCloud is read from.

By hand, since a host of machines need not have a program for it, and the same files give the same bytes.
After ECMA-119 and the Joliet specification; all times are zero.
"""

import struct
from collections.abc import Iterator, Mapping

SECTOR = 2048
MAX_BYTES = 8 * 1024 * 1024

_FIRST_SECTOR = 16  # what is before it belongs to who boots from it
_JOLIET = b"%/E"  # UCS-2, level 3
_NO_TIME = b"0" * 16 + b"\0"


def image(label: str, files: Mapping[str, bytes]) -> bytes:
    """Return the file system. label: at most 16 letters. files: name to content; the names of ASCII."""
    names = sorted(files)
    plain = {name: f"{number:08d}.;1".encode() for number, name in enumerate(names)}
    joliet = {name: name.encode("utf-16-be") for name in names}
    tables, root, joliet_root = _FIRST_SECTOR + 3, _FIRST_SECTOR + 7, _FIRST_SECTOR + 8
    extents, end = _laid_out(names, files, joliet_root + 1)
    assert end * SECTOR <= MAX_BYTES
    volumes = (
        _volume(1, label.encode(), b"", end, (tables, root)),
        _volume(2, label.encode("utf-16-be"), _JOLIET, end, (tables + 2, joliet_root)),
        b"\xffCD001\x01",
    )
    parts = [bytes(SECTOR)] * _FIRST_SECTOR
    parts += map(_padded, volumes)
    for place in (root, joliet_root):
        parts += [_padded(_path_table(place, "<")), _padded(_path_table(place, ">"))]
    for place, written in ((root, plain), (joliet_root, joliet)):
        parts.append(_padded(b"".join(_directory(place, written, extents))))
    parts += [_padded(files[name]) for name in names]
    return b"".join(parts)


def read(content: bytes, name: str) -> bytes:
    """A file of a file system such as `image` makes, by its Joliet name. Raises ValueError."""
    volume = content[(_FIRST_SECTOR + 1) * SECTOR :][:SECTOR]
    if not volume.startswith(b"\x02CD001\x01"):
        raise ValueError("it is no file system with Joliet names")
    directory = _extent(content, volume[156:190])
    while directory and directory[0]:
        record, directory = directory[: directory[0]], directory[directory[0] :]
        if record[33:][: len(record) > 32 and record[32]] == name.encode("utf-16-be"):
            return _extent(content, record)
    raise ValueError(f"there is no {name} in it")


def _extent(content: bytes, record: bytes) -> bytes:
    """What a directory record refers to."""
    if len(record) < 18:
        raise ValueError("it is damaged")
    sector, length = struct.unpack_from("<I", record, 2)[0], struct.unpack_from("<I", record, 10)[0]
    found = content[sector * SECTOR :][:length]
    if len(found) != length:
        raise ValueError("it is cut short")
    return found


def _laid_out(
    names: list[str], files: Mapping[str, bytes], sector: int
) -> tuple[dict[str, tuple[int, int]], int]:
    """The first sector and the length of each file, and the first sector after all."""
    extents = {}
    for name in names:
        extents[name] = (sector, len(files[name]))
        sector += -(-len(files[name]) // SECTOR)
    return extents, sector


def _directory(
    place: int, written: Mapping[str, bytes], extents: Mapping[str, tuple[int, int]]
) -> Iterator[bytes]:
    yield _record(b"\0", place, SECTOR, 2)
    yield _record(b"\1", place, SECTOR, 2)
    for name in sorted(written, key=written.__getitem__):
        yield _record(written[name], *extents[name], 0)


def _record(name: bytes, sector: int, length: int, flags: int) -> bytes:
    size = 33 + len(name) + (len(name) + 1) % 2
    head = struct.pack("<BB", size, 0) + _both(sector, 4) + _both(length, 4)
    head += bytes(7) + struct.pack("<BBB", flags, 0, 0) + _both(1, 2) + bytes([len(name)])
    return (head + name).ljust(size, b"\0")


def _path_table(root: int, order: str) -> bytes:
    return struct.pack(f"{order}BBIH", 1, 0, root, 1) + b"\0\0"


def _volume(kind: int, label: bytes, escapes: bytes, sectors: int, places: tuple[int, int]) -> bytes:
    """A volume descriptor. places: of the path tables and of the root."""
    tables, root = places
    blank = "\0 ".encode("ascii") if kind == 2 else b" "
    return b"".join(
        (
            struct.pack("<B5sBB", kind, b"CD001", 1, 0),
            _text(b"", 32, blank),
            _text(label, 32, blank),
            bytes(8),
            _both(sectors, 4),
            escapes.ljust(32, b"\0"),
            _both(1, 2) + _both(1, 2) + _both(SECTOR, 2) + _both(10, 4),
            struct.pack("<II", tables, 0) + struct.pack(">II", tables + 1, 0),
            _record(b"\0", root, SECTOR, 2),
            _text(b"", 128 * 4, blank),
            _text(b"", 37 * 3 - (37 * 3) % len(blank), blank).ljust(37 * 3, b"\0"),
            _NO_TIME * 4,
            b"\x01\0",
        )
    )


def _text(text: bytes, size: int, blank: bytes) -> bytes:
    return text + blank * ((size - len(text)) // len(blank))


def _both(value: int, size: int) -> bytes:
    """A number in both orders, as most of them stand there."""
    return value.to_bytes(size, "little") + value.to_bytes(size, "big")


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % SECTOR)
