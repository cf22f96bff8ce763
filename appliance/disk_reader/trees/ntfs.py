"""NTFS, by the library: every file, and the streams beside its main one (`file.txt:name`)."""

from collections.abc import Iterator
from functools import partial
from typing import Any, BinaryIO, Final

from dissect.ntfs import NTFS
from dissect.ntfs.c_ntfs import ATTRIBUTE_TYPE_CODE, FILE_NAME_DOS
from dissect.ntfs.util import segment_reference

from appliance.disk_reader.trees.tree import Content, Node, Wrong, checked_runs

_ROOT: Final = 5
_COMPRESSED, _ENCRYPTED = 0x00FF, 0x4000
_REPARSE_POINT: Final = 0x400
_OWN_FILES: Final = 24  # the first records are the file system's own: $MFT and others; the root is among them
_OWN_WITH_BYTES: Final = 12  # what is behind that, such as $Extend, is a directory


class NtfsTree:
    """A file system on a stream."""

    def __init__(self, stream: BinaryIO) -> None:
        self._fs = NTFS(stream)
        self._cluster = int(self._fs.cluster_size)

    def root(self) -> Node:
        r"""Its directory \."""
        return Node("", _ROOT, True, _ROOT)

    def children(self, node: Node) -> Iterator[Node | str]:
        """What stands in a directory. The file system's own files are none of anybody's."""
        for entry in self._fs.mft.get(node.thing).iterdir():
            told = entry.attribute
            if told is None or told.flags == FILE_NAME_DOS:
                continue
            name, number = told.file_name, segment_reference(entry.header.FileReference)
            if number < _OWN_FILES and node.thing == _ROOT:
                continue
            if name and not (told.is_dir() and told.file_attributes & _REPARSE_POINT):
                yield Node(name, number, bool(told.is_dir()), number)

    def contents(self, node: Node) -> Iterator[Content]:
        """Its streams."""
        record = self._fs.mft.get(node.thing)
        for name in sorted({str(each.name) for each in record.attributes[ATTRIBUTE_TYPE_CODE.DATA]}):
            yield self._stream(record, name)

    def _stream(self, record: Any, name: str) -> Content:
        found = record.attributes.find(name, ATTRIBUTE_TYPE_CODE.DATA)
        flags = int(found[0].header.flags)
        if flags & _ENCRYPTED:
            raise Wrong("it is encrypted (EFS): only the guest can read it")
        size = int(record.size(name))
        runs = None
        if not found[0].header.resident and not flags & _COMPRESSED:
            pieces = [
                (None if at is None else at * self._cluster, count * self._cluster)
                for at, count in record.dataruns(name)
            ]
            runs = checked_runs(pieces, size, self._cluster)
        return Content(f":{name}" if name else "", size, partial(record.open, name), runs)
