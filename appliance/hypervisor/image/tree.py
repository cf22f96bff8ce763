"""A root file system as entries, each under its path: from a tar, from directories, from text."""

import stat
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Self

from appliance.hypervisor.image.running import ImageError

ROOT = PurePosixPath("/")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, directory, link or device.

    mode: as stat(2) has it, with the kind. mtime: seconds since the epoch. target: what a symbolic link says.
    device: (major, minor). read: gives the bytes of a regular file.
    """

    mode: int
    mtime: int
    uid: int = 0
    gid: int = 0
    target: str = ""
    device: tuple[int, int] = (0, 0)
    read: Callable[[], bytes] | None = None

    def content(self) -> bytes:
        """The bytes of a regular file; b"" for all else."""
        return b"" if self.read is None else self.read()


@dataclass
class Tree:
    """Entries by their absolute path. epoch: the time that what is added here has, seconds since the epoch."""

    epoch: int
    entries: dict[PurePosixPath, Entry] = field(default_factory=dict)

    @classmethod
    def of_tar(cls, path: Path, epoch: int) -> Self:
        """What is in a tar, which stays where it is: contents are read from it when they are asked for."""
        tree = cls(epoch)
        with tarfile.open(path) as tar:
            for member in tar.getmembers():
                name = ROOT / member.name.lstrip("./")
                if name != ROOT:
                    tree.entries[name] = _of_member(path, member, tree, epoch)
        return tree

    def add_text(self, path: str, text: str, mode: int = 0o644, owner: int = 0) -> None:
        """Enter a file with a text, and the directories above it that are missing."""
        content = text.encode()
        self._put(path, Entry(stat.S_IFREG | mode, self.epoch, owner, owner, read=lambda: content))

    def add_link(self, path: str, target: str) -> None:
        """Enter a symbolic link."""
        self._put(path, Entry(stat.S_IFLNK | 0o777, self.epoch, target=target))

    def add_directory(self, path: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
        """Enter a directory, or change the rights of the one that is there."""
        self._put(path, Entry(stat.S_IFDIR | mode, self.epoch, uid, gid))

    def add_files(self, path: str, directory: Path) -> None:
        """Enter all that is below a directory of this machine under a path, as root's, whatever its times."""
        for found in sorted(directory.rglob("*")):
            name = f"{path}/{found.relative_to(directory)}"
            if found.is_symlink():
                self.add_link(name, str(found.readlink()))
            elif found.is_dir():
                self.add_directory(name)
            else:
                mode = 0o755 if found.stat().st_mode & 0o100 else 0o644
                self._put(name, Entry(stat.S_IFREG | mode, self.epoch, read=found.read_bytes))

    def edit(self, path: str, change: Callable[[str], str]) -> None:
        """Change the text of a file that is there; what else is known of it stays. Raises ImageError."""
        name = PurePosixPath(path)
        if name not in self.entries:
            raise ImageError(f"the image has no {path}, which was to be changed: is the package list whole?")
        content = change(self.entries[name].content().decode()).encode()
        self.entries[name] = replace(self.entries[name], mtime=self.epoch, read=lambda: content)

    def remove(self, path: str) -> None:
        """Take out what is there, with all below it; nothing where it is not there."""
        name = PurePosixPath(path)
        for known in [known for known in self.entries if known == name or name in known.parents]:
            del self.entries[known]

    def add_unit(self, name: str, text: str) -> None:
        """Enter a unit of systemd, enabled as its section [Install] says by WantedBy."""
        self.add_text(f"/etc/systemd/system/{name}", text)
        for target in text.partition("WantedBy=")[2].partition("\n")[0].split():
            self.add_link(f"/etc/systemd/system/{target}.wants/{name}", f"/etc/systemd/system/{name}")

    def content(self, path: str) -> bytes:
        """The bytes of a file, of what a link stands for too. Raises ImageError where it is not there."""
        name = self._followed(PurePosixPath(path))
        if name not in self.entries:
            raise ImageError(f"the image has no {path}: is the package list whole?")
        return self.entries[name].content()

    def text(self, path: str) -> str:
        """The text of a file; "" where it is not there."""
        entry = self.entries.get(PurePosixPath(path))
        return "" if entry is None else entry.content().decode()

    def directories(self) -> Iterator[tuple[PurePosixPath, list[tuple[str, Entry]]]]:
        """Each directory with what is in it, by name; the outer one before the inner one."""
        below: dict[PurePosixPath, list[tuple[str, Entry]]] = {ROOT: []}
        for path in sorted(self.entries):
            below.setdefault(path.parent, []).append((path.name, self.entries[path]))
        yield from sorted(below.items())

    def _followed(self, path: PurePosixPath) -> PurePosixPath:
        """The path without the links among its parents."""
        for parent in reversed(path.parents):
            entry = self.entries.get(parent)
            if entry is not None and entry.target:
                return self._followed(parent.parent / entry.target / path.relative_to(parent))
        return path

    def _put(self, path: str, entry: Entry) -> None:
        name = self._followed(PurePosixPath(path))
        for parent in name.parents:
            if parent != ROOT and parent not in self.entries:
                self.entries[parent] = Entry(stat.S_IFDIR | 0o755, self.epoch)
        self.entries[name] = entry


_KINDS = {
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
    tarfile.FIFOTYPE: stat.S_IFIFO,
}


def _of_member(path: Path, member: tarfile.TarInfo, tree: Tree, epoch: int) -> Entry:
    mtime = min(int(member.mtime), epoch)
    if member.islnk():  # a further name of a file becomes a file of its own
        return tree.entries[ROOT / member.linkname.lstrip("./")]
    kind = stat.S_IFREG if member.isfile() else _KINDS.get(member.type)
    if kind is None:
        raise ImageError(f"{member.name} in {path} is of a kind that no image has: {member.type!r}")
    offset, size = member.offset_data, member.size

    def read() -> bytes:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)

    return Entry(
        kind | member.mode,
        mtime,
        member.uid,
        member.gid,
        member.linkname if member.issym() else "",
        (member.devmajor, member.devminor) if kind in (stat.S_IFCHR, stat.S_IFBLK) else (0, 0),
        read if kind == stat.S_IFREG else None,
    )
