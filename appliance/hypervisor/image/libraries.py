"""The Python libraries of an image: wheels for Debian's Python, by pip, each checked by its digest."""

import hashlib
import shutil
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from appliance.hypervisor.image.lock import Library
from appliance.hypervisor.image.running import ImageError, run

PYTHON = "3.11"  # of Debian bookworm
_LIBC_MINOR = 36  # glibc 2.36 of Debian bookworm: what is built for an older one runs there
_PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in range(_LIBC_MINOR, 4, -1)]
_PLATFORMS += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"]
_HASHED = "{name}=={version} --hash=sha256:{sha256}\n"


@dataclass(frozen=True, slots=True)
class Wheels:
    """directory: where wheels are kept from one time to the next."""

    directory: Path

    def resolve(self, requirements: str) -> tuple[Library, ...]:
        """The one wheel of each library that fits, of those whose hashes a lock of pip allows."""
        with TemporaryDirectory(prefix="kvmla-wheels-") as scratch:
            self._download(requirements, Path(scratch))
            found = [_library(file) for file in sorted(Path(scratch).glob("*.whl"))]
            self.directory.mkdir(parents=True, exist_ok=True)
            for library in found:
                shutil.copy(Path(scratch) / library.file, self.directory / library.file)
        return tuple(sorted(found))

    def fetch(self, libraries: Sequence[Library]) -> list[Path]:
        """The files of wheels; brings those that are not here yet. Raises ImageError."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if missing := [library for library in libraries if not self._whole(library)]:
            asked = [_HASHED.format(name=pin.name, version=pin.version, sha256=pin.sha256) for pin in missing]
            self._download("".join(asked), self.directory)
        for library in missing:
            if not self._whole(library):
                raise ImageError(f"{library.file} is not to be had with the SHA-256 of the lock")
        return [self.directory / library.file for library in libraries]

    def _whole(self, library: Library) -> bool:
        file = self.directory / library.file
        return file.exists() and hashlib.sha256(file.read_bytes()).hexdigest() == library.sha256

    def _download(self, requirements: str, directory: Path) -> None:
        listed = directory / "requirements.txt"
        listed.write_text(requirements)
        fitting = [f"--platform={platform}" for platform in _PLATFORMS]
        fitting += [
            f"--python-version={PYTHON}",
            "--implementation=cp",
            "--abi=cp311",
            "--abi=abi3",
            "--abi=none",
        ]
        words = [
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--require-hashes",
        ]
        try:
            run([sys.executable, *words, "--only-binary=:all:", *fitting, "--dest", directory, "-r", listed])
        finally:
            listed.unlink()


def unpack(wheels: Sequence[Path], directory: Path) -> None:
    """Lay wheels out as they are imported. They need no more: none has scripts or data that an image uses."""
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if ".data/" not in name:
                    archive.extract(name, directory)


def _library(file: Path) -> Library:
    name, version = file.name.split("-")[:2]
    return Library(name, version, file.name, hashlib.sha256(file.read_bytes()).hexdigest())
