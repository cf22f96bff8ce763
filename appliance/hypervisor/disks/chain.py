"""An image and all that lies under it, opened for reading and for nothing else."""

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from appliance.hypervisor.disks.headers import HEADER_BYTES, BadImage, Header, header_of, probed
from appliance.hypervisor.disks.opening import Opening, Reach

MOST_LAYERS: Final = 128
_BY_NAME: Final = {".qcow2": "qcow2", ".raw": "raw", ".vmdk": "vmdk"}
BESIDE: Final = Reach()


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


def open_chain(path: Path, image_format: str, stack: ExitStack, reach: Reach = BESIDE) -> Chain:
    """Open an image and what lies under it. image_format: "" where nobody says it.

    A disk of the format raw holds what its guest has written, be it the header of another format that names
    a file of the host. So nothing is followed from an image whose format neither its name nor anybody says.
    Raises BadImage, with the name of the file in front.
    """
    layers: list[Layer] = []
    opening, named_by = Opening(reach, stack), ""
    while True:
        try:
            header, layer = _layer(path, image_format, opening)
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
            raise BadImage(f"{path}{named_by}: {error}") from error.__cause__
        named_by = f" (which {path} names as what lies under it)"
        path, image_format = under, header.backing_format


def _under(place: Path, backing: str) -> Path:
    """The file that is named as lying under another."""
    name = backing.removeprefix("file:")
    if name.startswith(("json:", "//")) or (":" in name.split("/", 1)[0]):
        raise BadImage(f"what lies under it is no file of this host ({backing[:80]}), and is not read")
    return place.parent / name


def _layer(path: Path, image_format: str, opening: Opening) -> tuple[Header, Layer]:
    fd = opening.open(path)
    try:
        head = os.pread(fd, HEADER_BYTES, 0)
    except OSError as error:
        raise BadImage(f"it cannot be read: {error.strerror}") from error
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
    fds = tuple(opening.open(each) for each in paths)
    return header, Layer(image_format, paths, fds, header.extents, is_guessed)
