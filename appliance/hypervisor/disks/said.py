"""What the program `disk-reader` says, held to its form. Nothing else in it is believed; raises Garbled."""

from dataclasses import dataclass
from typing import Any, Final

from appliance.disk_reader.protocol import (
    FILES_OF_BATCH,
    MAX_PATH_BYTES,
    Garbled,
    natural,
    sentence,
)

MOST_VOLUMES: Final = 2048
_DIGEST_LETTERS: Final = 64


@dataclass(frozen=True, slots=True)
class VolumeSeen:
    """A volume. name: for people. kind: its file system, "" where none is read; note: why.

    harmless: there can be no files on it.
    """

    number: int
    name: str
    size: int
    kind: str
    note: str
    harmless: bool


@dataclass(frozen=True, slots=True)
class FileSeen:
    """A file. number: by which its content is asked for. path: absolute in its volume, as it is there.

    layout: the key of where its bytes lie, None where places do not say what they are. unchanged: it was not
    read, its digest is that of the scan before.
    """

    number: int
    path: bytes
    size: int
    sha256: bytes
    layout: bytes | None
    unchanged: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Some files, and what was not read: a path and a sentence each. bytes: read for it."""

    files: tuple[FileSeen, ...]
    problems: tuple[tuple[bytes, str], ...]
    bytes: int
    is_last: bool


def volumes_of(head: dict[str, Any], _body: bytes) -> list[VolumeSeen]:
    """The answer to "open"."""
    said = _list(head.get("volumes"), MOST_VOLUMES)
    return [
        VolumeSeen(
            number,
            sentence(_dict(each).get("name")),
            natural(each.get("size")),
            sentence(each.get("kind")),
            sentence(each.get("note")),
            each.get("harmless") is True,
        )
        for number, each in enumerate(said)
    ]


def unknown_changes_of(head: dict[str, Any], disks: int) -> list[str]:
    """Of the answer to "open": for each disk why what was changed of it is not known, "" where it is."""
    return [sentence(each) for each in _list(head.get("unknown"), disks, exactly=True)]


def batch_of(head: dict[str, Any], _body: bytes, file_bytes: int) -> Batch:
    """The answer to "next". file_bytes: of the largest file that is read."""
    files = tuple(_file(each, file_bytes) for each in _list(head.get("files"), 2 * FILES_OF_BATCH))
    problems = tuple(map(_problem, _list(head.get("problems"), 2 * FILES_OF_BATCH)))
    return Batch(files, problems, natural(head.get("bytes")), head.get("done") is True)


def is_more(head: dict[str, Any], _body: bytes) -> bool:
    """Whether more of a content comes behind this."""
    if head.get("say") != "content" or not isinstance(head.get("more"), bool):
        raise Garbled("no content where one was asked for")
    return bool(head["more"])


def _file(said: Any, file_bytes: int) -> FileSeen:
    number, path, size, digest, layout, unchanged = _list(said, 6, exactly=True)
    if natural(size) > file_bytes:
        raise Garbled("a file that is larger than what is read")
    where = None if layout is None else _digest(layout)
    return FileSeen(natural(number), _path(path), size, _digest(digest), where, unchanged is True)


def _digest(said: Any) -> bytes:
    if not isinstance(said, str) or len(said) != _DIGEST_LETTERS:
        raise Garbled("a digest that is none")
    try:
        digest = bytes.fromhex(said)
    except ValueError as error:
        raise Garbled("a digest that is none") from error
    if len(digest) * 2 != _DIGEST_LETTERS:  # there were spaces in it
        raise Garbled("a digest that is none")
    return digest


def _problem(said: Any) -> tuple[bytes, str]:
    path, why = _list(said, 2, exactly=True)
    return _path(path), sentence(why)


def _path(said: Any) -> bytes:
    """A path that begins at the top and stays below it, whatever is said."""
    if not isinstance(said, str):
        raise Garbled("a path that is no text")
    path = said.encode("utf-8", "surrogateescape") if said.isascii() else _bytes_of(said)
    if not path.startswith(b"/") or b"\0" in path or b".." in path.split(b"/"):
        raise Garbled("a path that is none")
    return path[:MAX_PATH_BYTES]


def _bytes_of(said: str) -> bytes:
    try:
        return said.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # halves of letters, from NTFS
        return said.encode("utf-8", "replace")


def _list(said: Any, most: int, exactly: bool = False) -> list[Any]:
    if not isinstance(said, list) or len(said) > most or (exactly and len(said) != most):
        raise Garbled("a list that is none, or too long")
    return said


def _dict(said: Any) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise Garbled("what should be an object is none")
    return said
