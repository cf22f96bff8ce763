"""All signatures in one descriptor: built once, mapped by every worker.

    8 bytes   MAGIC
    8 bytes   length of the index, little-endian
    index     JSON: {"parts": [[engine, version, content]], "sources": [[engine, path, signatures,
              [problem]]], "sections": [[name, length]]}
    sections  in the order of the index, each at the next multiple of 8

A bundle comes out of a sandboxed process that has read the operator's files. It is read as
something hostile: every number and every text is checked, and only bounded values come out.
"""

import json
import mmap
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from appliance.scanning.result import SignatureSource

MAGIC = b"KLABNDL1"
MAX_INDEX_BYTES = 64 * 1024 * 1024
MAX_TEXT = 4096
_HEAD = struct.Struct("<8sQ")
_ALIGNMENT = 8

Part = tuple[str, str, int]  # engine, its version, 64-bit fingerprint of its signatures


class BundleError(Exception):
    """The descriptor does not hold a bundle; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What the front process needs to know of a bundle.

    parts: for domain.generation.combine; a running service such as clamd adds its own. sources: what
    was read, with its problems.
    """

    parts: tuple[Part, ...]
    sources: tuple[SignatureSource, ...]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A summary and the packed signatures, by the names that engines gave them."""

    summary: Summary
    sections: Mapping[str, bytes]

    def dump(self, fd: int) -> None:
        """Write the bundle to `fd`, an empty file such as a memfd. Raises OSError."""
        sections = [(name, len(data)) for name, data in self.sections.items()]
        sources = [(s.engine, s.path, s.signatures, s.problems) for s in self.summary.sources]
        index = json.dumps({"parts": self.summary.parts, "sources": sources, "sections": sections}).encode()
        position = _write(fd, _HEAD.pack(MAGIC, len(index)) + index)
        for data in self.sections.values():
            position += _write(fd, bytes(-position % _ALIGNMENT))
            position += _write(fd, data)


def read_summary(fd: int) -> Summary:
    """Return what the bundle in `fd` says of itself. Raises BundleError."""
    return _summary(_index(fd))


def read_sections(fd: int) -> dict[str, memoryview]:
    """Map the sections of the bundle in `fd`, which may be closed afterwards. Raises BundleError."""
    index = _index(fd)
    size = os.fstat(fd).st_size
    view = memoryview(mmap.mmap(fd, size, prot=mmap.PROT_READ))
    position: int = _HEAD.size + _HEAD.unpack_from(view)[1]
    sections: dict[str, memoryview] = {}
    for row in _rows(index, "sections", 2):
        name, length = _text(row[0]), _number(row[1])
        position += -position % _ALIGNMENT
        if position + length > size:
            raise BundleError(f"the bundle ends before its section {name!r}")
        sections[name] = view[position : position + length]
        position += length
    return sections


def _index(fd: int) -> dict[str, Any]:
    head = os.pread(fd, _HEAD.size, 0)
    magic, length = _HEAD.unpack(head) if len(head) == _HEAD.size else (b"", 0)
    if magic != MAGIC or length > MAX_INDEX_BYTES:
        raise BundleError("not a bundle of signatures, or one of another version")
    try:
        index = json.loads(os.pread(fd, length, _HEAD.size))
    except (ValueError, RecursionError) as error:
        raise BundleError("the index of the bundle is not JSON") from error
    if not isinstance(index, dict):
        raise BundleError("the index of the bundle is no table")
    return index


def _summary(index: dict[str, Any]) -> Summary:
    parts = tuple((_text(r[0]), _text(r[1]), _number(r[2])) for r in _rows(index, "parts", 3))
    sources = tuple(
        SignatureSource(_text(row[0]), _text(row[1]), _number(row[2]), tuple(map(_text, _list(row[3]))))
        for row in _rows(index, "sources", 4)
    )
    return Summary(parts, sources)


def _rows(index: dict[str, Any], name: str, columns: int) -> list[list[Any]]:
    rows = [_list(row) for row in _list(index.get(name))]
    if any(len(row) != columns for row in rows):
        raise BundleError(f"a row of {name} has not {columns} columns")
    return rows


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise BundleError("the index of the bundle lacks a list")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT or not value.isprintable():
        raise BundleError("a text in the index of the bundle is too long or not printable")
    return value


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 64:
        raise BundleError("a number in the index of the bundle is out of range")
    return value


def _write(fd: int, data: bytes) -> int:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    return len(data)
