"""Whether an LMDB file is whole, by its pages, without LMDB.

LMDB trusts its file. A page that was cut off or overwritten with zeros ends the process that reads it
by a signal (a leaf of zeros met by a cursor: an assertion in mdb_cursor_next), and a free list that
names a page in use has good data overwritten in silence. So the file is looked at before it is opened:
that every page of every tree is there, carries its own number and kind and bounds that make sense, is
reached once, and is not free. 0.1 s for a million verdicts. What lies inside of nodes is LMDB's to
check as it goes, and each record has a checksum of its own.

Format: LMDB 0.9, data version 1, of a 64-bit machine (mdb.c: MDB_page, MDB_meta, MDB_db, MDB_node).
"""

import mmap
import struct
from dataclasses import dataclass, field
from pathlib import Path

_MAGIC = 0xBEEFC0DE
_DATA_VERSION = 1
_NO_PAGE = 0xFFFFFFFFFFFFFFFF
_BRANCH, _LEAF, _OVERFLOW = 1, 2, 4  # kinds of pages
_BIG_DATA, _SUB_DATABASE = 1, 2  # flags of a leaf's node
_DEEPEST = 32

_PAGE = struct.Struct("<QHHHH")  # number, padding, flags, lower, upper
_META_HEAD = struct.Struct("<IIQQ")  # magic, version, address, map size
_DATABASE = struct.Struct("<IHHQQQQQ")  # padding, flags, depth, branches, leaves, overflows, entries, root
_META_TAIL = struct.Struct("<QQ")  # last page, transaction
_NODE = struct.Struct("<HHHH")  # size or page, low and high; flags; size of the key
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")


class FileDamaged(Exception):
    """The file is not a whole LMDB file; the message says what is wrong where."""


def check_pages(path: Path) -> None:
    """Raise FileDamaged where the file's pages do not make whole trees. A file of 0 bytes is whole.

    The file must not change meanwhile. Raises OSError where it cannot be read.
    """
    with path.open("rb") as file:
        if not file.seek(0, 2):
            return
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
            try:
                _Walk(data).run()
            except struct.error as error:
                raise FileDamaged(f"it is cut off: {error}") from error


@dataclass(frozen=True, slots=True)
class _Database:
    depth: int
    root: int

    @classmethod
    def at(cls, data: mmap.mmap, offset: int) -> "_Database":
        _, _, depth, *_, root = _DATABASE.unpack_from(data, offset)
        return cls(depth, root)


@dataclass(slots=True)
class _Walk:
    data: mmap.mmap
    page_bytes: int = 0
    pages: int = 0
    reached: bytearray = field(default_factory=bytearray)

    def run(self) -> None:
        """Walk everything that the newer of the two meta pages names."""
        self.page_bytes = _U32.unpack_from(self.data, _PAGE.size + _META_HEAD.size)[0]
        if self.page_bytes < 512 or self.page_bytes & (self.page_bytes - 1):
            raise FileDamaged("it is no LMDB file")
        metas = [self._meta(0), self._meta(self.page_bytes)]
        _, last_page, free, main = max(metas, key=lambda meta: meta[0])
        self.pages = min(last_page + 1, len(self.data) // self.page_bytes)
        self.reached = bytearray(self.pages)
        self._tree(main, follow=True)
        free_lists: list[tuple[int, int]] = []
        self._tree(free, follow=True, values=free_lists)
        for offset, size in free_lists:
            self._check_free(offset, size, last_page)

    def _meta(self, page: int) -> tuple[int, int, _Database, _Database]:
        """Transaction, last page, the tree of free pages and the main one."""
        start = page + _PAGE.size
        magic, version, _, _ = _META_HEAD.unpack_from(self.data, start)
        if magic != _MAGIC or version & 0xFFFF != _DATA_VERSION:
            raise FileDamaged("it is no LMDB file of this version")
        start += _META_HEAD.size
        last_page, transaction = _META_TAIL.unpack_from(self.data, start + 2 * _DATABASE.size)
        free, main = (_Database.at(self.data, start + number * _DATABASE.size) for number in (0, 1))
        return transaction, last_page, free, main

    def _tree(
        self, tree: _Database, follow: bool = False, values: list[tuple[int, int]] | None = None
    ) -> None:
        """Walk a tree. follow: look into its leaves, too. values: takes where their values lie, and sizes."""
        if tree.root == _NO_PAGE:
            return
        if not 0 < tree.depth <= _DEEPEST:
            raise FileDamaged(f"a tree of depth {tree.depth}")
        level = [tree.root]
        for _ in range(tree.depth - 1):
            level = [child for page in level for child in self._children(page)]
        for page in level:
            offset, places = self._page(page, _LEAF)
            if follow:
                for place in places:
                    self._leaf_node(offset + place, values)

    def _page(self, number: int, kind: int) -> tuple[int, list[int]]:
        """Where a page begins, and where in it its nodes lie."""
        if not 1 < number < self.pages:
            raise FileDamaged(f"page {number} is beyond the end")
        if self.reached[number]:
            raise FileDamaged(f"page {number} is in two places")
        self.reached[number] = 1
        offset = number * self.page_bytes
        own, _, flags, lower, upper = _PAGE.unpack_from(self.data, offset)
        if own != number or flags != kind or not _PAGE.size <= lower <= upper <= self.page_bytes:
            raise FileDamaged(f"page {number} is not what was written there")
        with memoryview(self.data) as view, view[offset + _PAGE.size : offset + lower] as pointers:
            places = pointers.cast("H").tolist()
        if places and (min(places) < upper or max(places) + _NODE.size > self.page_bytes):
            raise FileDamaged(f"a node of page {number} lies outside of it")
        return offset, places

    def _children(self, number: int) -> list[int]:
        offset, places = self._page(number, _BRANCH)
        children = []
        for place in places:
            low, high, top, _ = _NODE.unpack_from(self.data, offset + place)
            children.append(low | high << 16 | top << 32)
        return children

    def _leaf_node(self, at: int, values: list[tuple[int, int]] | None) -> None:
        """Follow a node to the named tree or the overflow pages that it stands for."""
        low, high, flags, key_size = _NODE.unpack_from(self.data, at)
        value, size = at + _NODE.size + key_size, low | high << 16
        if flags & _BIG_DATA:
            value = self._overflow(_U64.unpack_from(self.data, value)[0], size)
        elif flags & _SUB_DATABASE:
            self._tree(_Database.at(self.data, value))
        if values is not None:
            values.append((value, size))

    def _overflow(self, number: int, size: int) -> int:
        """Where the value of so many bytes begins that lies on pages of its own."""
        count = (_PAGE.size + size + self.page_bytes - 1) // self.page_bytes
        if not 1 < number <= self.pages - count or any(self.reached[number : number + count]):
            raise FileDamaged(f"overflow page {number} is beyond the end, or in two places")
        offset = number * self.page_bytes
        own, _, flags, low, high = _PAGE.unpack_from(self.data, offset)
        if own != number or flags != _OVERFLOW or low | high << 16 < count:
            raise FileDamaged(f"overflow page {number} is not what was written there")
        self.reached[number : number + count] = b"\1" * count
        return offset + _PAGE.size

    def _check_free(self, offset: int, size: int, last_page: int) -> None:
        """See that a list of free pages, a count and then the pages, names none that is in use."""
        count = _U64.unpack_from(self.data, offset)[0]
        if (count + 1) * _U64.size != size:
            raise FileDamaged(f"a list of {count} free pages in {size} bytes")
        for page in struct.unpack_from(f"<{count}Q", self.data, offset + _U64.size):
            if not 1 < page <= last_page or (page < self.pages and self.reached[page]):
                raise FileDamaged(f"page {page} is in use and free")
