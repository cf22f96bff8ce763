"""NTFS, by the library: every file, and the streams beside its main one (`file.txt:name`)."""

from collections.abc import Iterator
from functools import partial, reduce
from operator import or_
from typing import Any, BinaryIO, Final

from dissect.ntfs import NTFS
from dissect.ntfs.c_ntfs import ATTRIBUTE_TYPE_CODE, FILE_NAME_DOS
from dissect.ntfs.exceptions import Error
from dissect.ntfs.util import segment_reference

from appliance.disk_reader.trees.tree import Content, Node, Wrong, checked_runs

_ROOT, _EXTEND = 5, 11
_COMPRESSED, _ENCRYPTED = 0x00FF, 0x4000
_FIRST_ENTRY: Final = 16  # where in the root of an index its entries begin
_OWN: Final = {  # by name and number: a guest may have such a name elsewhere, or an unused number
    "$MFT": 0,
    "$MFTMirr": 1,
    "$LogFile": 2,
    "$Volume": 3,
    "$AttrDef": 4,
    "$Bitmap": 6,
    "$Boot": 7,
    "$BadClus": 8,
    "$Secure": 9,
    "$UpCase": 10,
}
_OWN_STREAMS: Final = ("", "$Bad", "$Info", "$SDS")
_OWN_OF_EXTEND: Final = ("$Deleted", "$ObjId", "$Quota", "$Reparse", "$RmMetadata", "$UsnJrnl")
_WOF, _WOF_STREAM = 0x80000017, "WofCompressedData"
_LINKS: Final = (0xA0000003, 0xA000000C, 0xA000001D)  # tags: a mount point, symbolic links
_NUMBERS: Final = 4_000_000  # of one directory that are remembered


class NtfsTree:
    """A file system on a stream."""

    def __init__(self, stream: BinaryIO) -> None:
        self._fs = NTFS(stream)
        self._cluster = int(self._fs.cluster_size)

    def root(self) -> Node:
        r"""Its directory \."""
        return Node("", _ROOT, True, _ROOT)

    def children(self, node: Node) -> Iterator[Node | str]:
        """What stands in a directory, and the streams beside it. The file system's own files are nobody's.

        All but the name is the record's: what the directory repeats of it is checked by nobody. Whatever
        a directory is called, it is entered: a mount point holds nothing, one of a cloud holds files.
        """
        record = self._fs.mft.get(node.thing)
        if node.thing == _ROOT:
            yield Node(".", _ROOT, False, _ROOT)
        index = record.index("$I30")
        if int(index.root.header.IndexHeader.FirstEntryOffset) != _FIRST_ENTRY:
            yield "the beginning of its index is damaged, and what stood there is not found"
        told, short = set[int](), dict[int, str]()
        for entry in index.entries():
            said, number = entry.attribute, segment_reference(entry.header.FileReference)
            if said is None:
                yield "an entry of it is damaged, and what it leads to is not found"
            elif said.flags == FILE_NAME_DOS:  # the second name of what has another
                short[number] = str(said.file_name)
            elif not _is_left_out(node.thing, number, str(said.file_name)):
                told.add(number)
                yield from self._nodes(str(said.file_name), number)
            if len(short) + len(told) > _NUMBERS:
                raise Wrong("it has too many entries")
        for number in short.keys() - told:
            yield from self._nodes(short[number], number)

    def _nodes(self, name: str, number: int) -> Iterator[Node]:
        """What a name leads to: a file, or a directory and what streams there are beside it."""
        try:
            record = self._fs.mft.get(number)
            is_directory, has_streams = record.is_dir(), bool(record.attributes[ATTRIBUTE_TYPE_CODE.DATA])
        except (Error, EOFError, ValueError):  # told when its bytes are asked for
            is_directory, has_streams = False, True
        if is_directory:
            yield Node(name, number, True, number)
        if has_streams:
            yield Node(name, number, False, number)

    def contents(self, node: Node) -> Iterator[Content]:
        """Its streams."""
        record = self._fs.mft.get(node.thing)
        tags = [int(each.tag) for each in record.attributes[ATTRIBUTE_TYPE_CODE.REPARSE_POINT]]
        for name in sorted({str(each.name) for each in record.attributes[ATTRIBUTE_TYPE_CODE.DATA]}):
            if name in _OWN_STREAMS and _OWN.get(node.name) == node.thing:
                continue
            if _WOF not in tags or name != _WOF_STREAM:
                yield self._stream(record, name, tags)

    def _stream(self, record: Any, name: str, tags: list[int]) -> Content:
        found = record.attributes.find(name, ATTRIBUTE_TYPE_CODE.DATA)
        # Of all its parts: a guest may write some that differ, and the library goes by another than the 1st.
        flags = reduce(or_, (int(part.header.flags) for part in found))
        size, suffix = int(record.size(name)), f":{name}" if name else ""
        if flags & _ENCRYPTED:
            return _unread(suffix, "it is encrypted (EFS): only the guest can read it")
        if not name and _WOF in tags:
            return _unread(suffix, "compressed by the system (WOF): not looked at")
        runs = None
        if not found[0].header.resident:
            pieces = [
                (None if at is None else at * self._cluster, count * self._cluster)
                for at, count in record.dataruns(name)
            ]
            foreign = [tag for tag in tags if tag not in _LINKS]
            if not name and foreign and any(at is None for at, _ in pieces):
                why = (
                    f"what is missing of it here lies elsewhere (reparse tag {foreign[0]:#x}): not looked at"
                )
                return _unread(suffix, why)
            is_plain = not flags & _COMPRESSED and not any(part.header.resident for part in found)
            runs = checked_runs(pieces, size, self._cluster) if is_plain else None
        return Content(suffix, size, partial(record.open, name), runs)


def _is_left_out(directory: int, number: int, name: str) -> bool:
    """Whether a name is that of the root itself, or of a file in which the file system alone writes."""
    return number == _ROOT or (directory == _EXTEND and name in _OWN_OF_EXTEND)


def _unread(suffix: str, why: str) -> Content:
    """A stream that says when it is opened why it is not read."""

    def refuse() -> BinaryIO:
        raise Wrong(why)

    return Content(suffix, 0, refuse)
