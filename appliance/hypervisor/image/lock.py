"""The lock of images: the Debian packages and Python libraries that they are made from, by version and SHA-256."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from appliance.hypervisor.image.running import ImageError

SHIPPED = Path(__file__).with_name("image.lock")
FORMAT = 1
MAX_BYTES = 8 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]*")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+:~_!-]*")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+%~_!-]*")


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """A Debian package. file: as the mirror names it, without directories."""

    name: str
    version: str
    file: str
    sha256: str


@dataclass(frozen=True, slots=True, order=True)
class Library:
    """A Python library as a wheel."""

    name: str
    version: str
    file: str
    sha256: str


_Pin = TypeVar("_Pin", Package, Library)


@dataclass(frozen=True, slots=True)
class ImageLock:
    """All versions.

    epoch: the time that everything in an image has, in seconds since 1970. suite: Debian's. kernel: the package
    with the kernel. packages: of the root file system, for each set of a recipe. libraries: for each recipe.
    """

    epoch: int
    suite: str
    kernel: Package
    packages: dict[str, tuple[Package, ...]]
    libraries: dict[str, tuple[Library, ...]]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read one, or raise ImageError."""
        try:
            with path.open("rb") as file:
                data = json.loads(file.read(MAX_BYTES))
            if data["format"] != FORMAT:
                raise ImageError(f"{path} is of format {data['format']!r}, and this program reads {FORMAT}")
            return cls(
                epoch=int(data["epoch"]),
                suite=_name(data["suite"]),
                kernel=_pinned(Package, data["kernel"]),
                packages=_sets(Package, data["packages"]),
                libraries=_sets(Library, data["libraries"]),
            )
        except OSError as error:
            raise ImageError(f"{path}: {error.strerror}: `svm-host image lock` writes a lock") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ImageError(
                f"{path} is no lock of images ({error}): `svm-host image lock` writes one"
            ) from error

    def text(self) -> str:
        """It as a file has it: sorted, one package a line, so that a change can be reviewed."""
        lines = [
            f'"format": {FORMAT}',
            f'"epoch": {self.epoch}',
            f'"suite": {json.dumps(self.suite)}',
            f'"kernel": {json.dumps(asdict(self.kernel))}',
            f'"packages": {_lines(self.packages)}',
            f'"libraries": {_lines(self.libraries)}',
        ]
        return "{\n" + ",\n".join(f" {line}" for line in lines) + "\n}\n"


def _lines(sets: dict[str, tuple[Package, ...]] | dict[str, tuple[Library, ...]]) -> str:
    parts = []
    for name, pins in sorted(sets.items()):
        rows = ",\n".join(f"   {json.dumps(asdict(pin))}" for pin in sorted(pins))
        parts.append(f"  {json.dumps(name)}: [\n{rows}\n  ]")
    return "{\n" + ",\n".join(parts) + "\n }"


def _sets(kind: type[_Pin], data: dict[str, Any]) -> dict[str, tuple[_Pin, ...]]:
    return {name: tuple(_pinned(kind, row) for row in rows) for name, rows in data.items()}


def _pinned(kind: type[_Pin], row: dict[str, str]) -> _Pin:
    """A row of the file. What ends in a command line or a path is looked at."""
    pin = kind(**row)
    if not _SHA256.fullmatch(pin.sha256) or not _FILE.fullmatch(pin.file):
        raise ValueError(f"{pin.name}: its digest or file name is none")
    if not _VERSION.fullmatch(pin.version):
        raise ValueError(f"{pin.name}: its version is none")
    _name(pin.name)
    return pin


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is no name")
    return text
