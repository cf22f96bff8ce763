"""An image and all that lies under it, opened for reading and for nothing else."""

import os
import stat
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from appliance.hypervisor.disks.headers import HEADER_BYTES, BadImage, Header, header_of, probed

MOST_LAYERS: Final = 128
_BY_NAME: Final = {".qcow2": "qcow2", ".raw": "raw", ".vmdk": "vmdk"}


@dataclass(frozen=True, slots=True)
class Layer:
    """One file of a chain, or a vmdk of several. paths, fds: alike; of block devices too.

    is_guessed: whether nothing but its first bytes says of what format it is.
    """

    format: str
    paths: tuple[Path, ...]
    fds: tuple[int, ...]
    extents: tuple[tuple[str, int, int], ...] = ()
    is_guessed: bool = False

    def told(self) -> dict[str, Any]:
        """As `disk-reader` is told of it."""
        return {"format": self.format, "fds": self.fds, "extents": self.extents}


@dataclass(frozen=True, slots=True)
class Chain:
    """A disk. layers: the lowest first. The descriptors are closed with the stack that opened them."""

    layers: tuple[Layer, ...]

    @property
    def top(self) -> Layer:
        """What the machine itself writes to."""
        return self.layers[-1]

    def told(self) -> list[dict[str, Any]]:
        """As `disk-reader` is told of it."""
        return [layer.told() for layer in self.layers]

    @property
    def fds(self) -> list[int]:
        """All descriptors."""
        return [fd for layer in self.layers for fd in layer.fds]


def open_chain(path: Path, image_format: str, stack: ExitStack) -> Chain:
    """Open an image and what lies under it. image_format: "" where nobody says it.

    A disk of the format raw holds what its guest has written, be it the header of another format that names
    a file of the host. So nothing is followed from an image whose format neither its name nor anybody says.
    Raises BadImage, with the name of the file in front.
    """
    layers: list[Layer] = []
    seen: set[tuple[int, int]] = set()
    while True:
        try:
            header, layer = _layer(path, image_format, stack, seen)
            layers.append(layer)
            if not header.backing:
                return Chain(tuple(reversed(layers)))
            if len(layers) >= MOST_LAYERS:
                raise BadImage(f"more than {MOST_LAYERS} files lie under it")
            if layer.is_guessed:
                raise BadImage(
                    f"it looks like {layer.format} and names {header.backing[:200]} as what lies under it, "
                    "but a guest can write that to a raw disk: say --format qcow2 if it is one, else raw"
                )
            under = _under(path, header.backing)
        except BadImage as error:
            raise BadImage(f"{path}: {error}") from error.__cause__
        path, image_format = under, header.backing_format


def _under(place: Path, backing: str) -> Path:
    """The file that is named as lying under another."""
    name = backing.removeprefix("file:")
    if name.startswith(("json:", "//")) or (":" in name.split("/", 1)[0]):
        raise BadImage(f"what lies under it is no file of this host ({backing[:80]}), and is not read")
    return place.parent / name


def _layer(
    path: Path, image_format: str, stack: ExitStack, seen: set[tuple[int, int]]
) -> tuple[Header, Layer]:
    fd = opened(path, stack, seen)
    head = os.pread(fd, HEADER_BYTES, 0)
    told = image_format or _BY_NAME.get(path.suffix.lower(), "")
    image_format = told or probed(head)
    is_guessed = not told and image_format != "raw"
    header = header_of(head, image_format)
    if not header.extent_files:
        return header, Layer(image_format, (path,), (fd,), header.extents, is_guessed)
    if is_guessed:
        raise BadImage(
            "it names other files as its parts, and its name does not end in .vmdk: give --format vmdk"
        )
    paths = tuple(path.parent / name for name in header.extent_files)
    fds = tuple(opened(each, stack, seen) for each in paths)
    return header, Layer(image_format, paths, fds, header.extents, is_guessed)


def opened(path: Path, stack: ExitStack, seen: set[tuple[int, int]]) -> int:
    """Open a file or block device for reading. seen: those of the chain so far. Raises BadImage."""
    try:
        # Without waiting: a name may lead to a pipe on which nobody ever writes.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        raise BadImage(f"{path.name} cannot be opened: {error.strerror}") from error
    stack.callback(partial(os.close, fd))
    told = os.fstat(fd)
    if not (stat.S_ISREG(told.st_mode) or stat.S_ISBLK(told.st_mode)):
        raise BadImage("it is no file and no block device")
    name = (told.st_dev, told.st_ino)
    if name in seen:
        raise BadImage("it lies under itself: its chain of backing files is a ring")
    seen.add(name)
    return fd
