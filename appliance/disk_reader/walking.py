"""Each regular file of a file system once, with its digest: within bounds, and whatever fails is a sentence.

A file with several names is hashed once and told under each. A directory is entered once, so that one which
holds itself does not go round for ever.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from appliance.disk_reader.bounds import DiskGone, Patience, why
from appliance.disk_reader.protocol import MAX_PATH_BYTES
from appliance.disk_reader.trees.tree import Content, Node, Tree, Wrong

_READ: Final = 1 << 20
MOST_ENTRIES: Final = 2_000_000  # of one directory
MOST_DEPTH: Final = 512
_LINKS_REMEMBERED: Final = 100_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is read. files: of one volume. file_bytes: of one file; larger ones are told and not read.

    volume_bytes: hashed of one volume, which sparse files can make more than it has.
    """

    files: int
    file_bytes: int
    volume_bytes: int


@dataclass(frozen=True, slots=True)
class Found:
    """A file. path: absolute in its volume, with surrogates. unchanged: it was not read, and is as it was."""

    path: str
    size: int
    sha256: bytes
    content: Content
    unchanged: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """What was not read. path: "/" for all of it. harmless: it is no fault of the file system."""

    path: str
    sentence: str


class Walk:
    """One walk. Iterate it, for what is found and what is not."""

    def __init__(
        self,
        tree: Tree,
        bounds: Bounds,
        patience: Patience,
        alive: Callable[[int], None] = lambda _bytes: None,
        known: Callable[[Content], bytes | None] = lambda _content: None,
    ) -> None:
        """alive: called with how many bytes were read, again and again.

        known: the SHA-256 of what is known to be as it was, None for what has to be read.
        """
        self._tree = tree
        self._bounds = bounds
        self._patience = patience
        self._alive = alive
        self._known = known
        self._links: OrderedDict[tuple[Hashable, str], tuple[bytes, bool]] = OrderedDict()
        self._files = 0
        self._bytes = 0

    def __iter__(self) -> Iterator[Found | Problem]:
        """Go through it, directory by directory."""
        with self._patience.for_step():
            root = self._tree.root()
        entered = {root.key}
        waiting: list[tuple[str, Node, int]] = [("", root, 0)]
        while waiting:
            path, directory, depth = waiting.pop()
            below: list[tuple[str, Node, int]] = []
            for child in self._children(path, directory):
                if isinstance(child, Problem):
                    yield child
                    continue
                name = f"{path}/{child.name}"
                if len(name) > MAX_PATH_BYTES // 2 or depth >= MOST_DEPTH:
                    yield Problem(name[: MAX_PATH_BYTES // 2], "it lies too deep: it is not looked at")
                elif not child.is_directory:
                    yield from self._file(name, child)
                    if self._files >= self._bounds.files:
                        yield Problem(
                            "/", f"it has more than {self._bounds.files} files: the rest is not read"
                        )
                        return
                    if self._bytes >= self._bounds.volume_bytes:
                        yield Problem("/", f"more than {self._bytes} bytes of files: the rest is not read")
                        return
                elif child.key not in entered:
                    entered.add(child.key)
                    below.append((name, child, depth + 1))
            waiting += reversed(below)

    def _children(self, path: str, directory: Node) -> Iterator[Node | Problem]:
        """What stands in a directory, as far as it can be read."""
        here = path or "/"
        children = iter(self._tree.children(directory))
        for _number in range(MOST_ENTRIES):
            try:
                with self._patience.for_step():
                    child = next(children, None)
            except DiskGone:
                raise
            except Exception as error:  # whatever a parser raises that meets hostile bytes
                yield Problem(here, f"the directory cannot be read to its end ({why(error)})")
                return
            if child is None:
                return
            yield _checked(child, here)
        yield Problem(here, f"more than {MOST_ENTRIES} entries: the rest of the directory is not read")

    def _file(self, path: str, node: Node) -> Iterator[Found | Problem]:
        try:
            with self._patience.for_step():
                contents = list(self._tree.contents(node))
        except DiskGone:
            raise
        except Exception as error:
            self._files += 1
            yield Problem(path, f"the file cannot be read ({why(error)})")
            return
        for content in contents:
            self._files += 1
            yield self._hashed(path + content.suffix, node.key, content)

    def _hashed(self, path: str, key: Hashable, content: Content) -> Found | Problem:
        if not 0 <= content.size <= self._bounds.file_bytes:
            return Problem(path, f"the file has {content.size} bytes, more than are read of one")
        name = (key, content.suffix)
        told = self._links.get(name)
        if told is None:
            try:
                told = self._digest(content)
            except DiskGone:
                raise
            except Exception as error:
                return Problem(path, f"the file cannot be read ({why(error)})")
            self._links[name] = told
            if len(self._links) > _LINKS_REMEMBERED:
                self._links.popitem(last=False)
        return Found(path, content.size, told[0], content, told[1])

    def _digest(self, content: Content) -> tuple[bytes, bool]:
        """The SHA-256, and whether that was known without reading."""
        with self._patience.for_step():
            known = self._known(content)
        if known is not None:
            self._alive(0)
            return known, True
        sha256 = hashlib.sha256()
        for data in read_whole(content, self._patience):
            sha256.update(data)
            self._bytes += len(data)
            self._alive(len(data))
        return sha256.digest(), False


def read_whole(content: Content, patience: Patience, size: int = _READ) -> Iterator[bytes]:
    """Yield the bytes of a file, or raise Wrong where there are fewer than it says."""
    left = content.size
    with patience.for_step():
        stream: BinaryIO = content.open()
    while left > 0:
        with patience.for_step():
            data = stream.read(min(left, size))
        if not data:
            raise Wrong(f"{left} of its {content.size} bytes are not there")
        left -= len(data)
        yield data


def _checked(child: Node | str, here: str) -> Node | Problem:
    """A child with a name that can be one, in a path that means what it says."""
    if isinstance(child, str):
        return Problem(here, child)
    if "/" in child.name or "\0" in child.name or child.name in ("", ".", ".."):
        name = child.name.replace("/", "\N{BIG SOLIDUS}").replace("\0", "?")
        return Node(f"?{name}" if name in ("", ".", "..") else name, *_rest(child))
    return child


def _rest(node: Node) -> tuple[Hashable, bool, object]:
    return node.key, node.is_directory, node.thing
