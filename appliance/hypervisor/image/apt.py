"""Debian's packages by apt, in a state of its own: what this machine has installed counts for nothing.

Where packages come from is this machine's own configuration of apt, or a mirror that is given.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from appliance.hypervisor.image.lock import Package
from appliance.hypervisor.image.running import ImageError, run

_URI = re.compile(r"'(?P<uri>[^']+)' (?P<file>\S+) (?P<size>\d+) SHA256:(?P<sha256>[0-9a-f]{64})")
_PARTS = 3  # of a .deb's name: package, version, architecture


@dataclass(frozen=True, slots=True)
class Apt:
    """directory: where its lists and packages are kept from one time to the next. mirror: "" for this machine's own."""

    directory: Path
    suite: str
    mirror: str = ""

    @property
    def archives(self) -> Path:
        """Where packages lie."""
        return self.directory / "cache" / "archives"

    def update(self) -> None:
        """Bring the lists of packages. Raises ImageError, also when they are of another system."""
        for place in (
            self.archives / "partial",
            self.directory / "lists" / "partial",
            self.directory / "sources",
        ):
            place.mkdir(parents=True, exist_ok=True)
        (self.directory / "status").touch()
        if self.mirror:
            source = f"deb [signed-by={_KEYRING}] {self.mirror} {self.suite} main\n"
            (self.directory / "sources.list").write_text(source)
        self._run("apt-get", "update", "--error-on=any")
        known = self._run("apt-get", "indextargets", "--format", "$(CODENAME)", "Created-By: Packages")
        if self.suite not in known.split():
            raise ImageError(
                f"apt of this machine knows no {self.suite} of Debian: name a mirror that has it by --mirror URL"
            )

    def resolve(self, names: Iterable[str]) -> tuple[Package, ...]:
        """What has to be installed for these packages in an empty system, the essential ones included."""
        wanted = ["?essential", "apt", *names]
        said = self._run("apt-get", "install", "--print-uris", "--yes", *wanted)
        return tuple(sorted(_packages(said)))

    def kernel(self, metapackage: str) -> Package:
        """The package with the kernel that a package like linux-image-cloud-amd64 stands for."""
        said = self._run("apt-cache", "depends", "--important", metapackage)
        found = re.search(r"Depends: (linux-image-\d\S+)", said)
        if found is None:
            raise ImageError(f"{metapackage} depends on no kernel: give another by --kernel")
        return _packages(self._run("apt-get", "download", "--print-uris", found[1]))[0]

    def fetch(self, packages: Sequence[Package]) -> list[Path]:
        """The files of packages, each checked by its digest; brings those that are not here yet."""
        missing = [package for package in packages if not self._whole(package)]
        if missing:
            self.update()
            named = [f"{package.name}={package.version}" for package in missing]
            try:
                self._run("apt-get", "download", *named, cwd=self.archives)
            except ImageError as error:
                raise ImageError(f"{error}. {_MOVED_ON}") from error
        for package in missing:
            if not self._whole(package):
                raise ImageError(
                    f"{package.file} is not what the lock says: its SHA-256 differs. {_MOVED_ON}"
                )
        return [self.archives / package.file for package in packages]

    def _whole(self, package: Package) -> bool:
        file = self.archives / package.file
        return file.exists() and hashlib.sha256(file.read_bytes()).hexdigest() == package.sha256

    def _run(self, *words: str, cwd: Path | None = None) -> str:
        own = self.directory
        options = {
            "Dir::State": own,
            "Dir::State::lists": own / "lists",
            "Dir::State::status": own / "status",
            "Dir::Cache": own / "cache",
            "APT::Sandbox::User": "root",
            "APT::Architecture": "amd64",
            "APT::Install-Recommends": "false",
            "Acquire::Languages": "none",
            "Acquire::ForceHash": "SHA256",
            "Acquire::Retries": "3",
        }
        if self.mirror:
            options |= {
                "Dir::Etc::SourceList": own / "sources.list",
                "Dir::Etc::SourceParts": own / "sources",
            }
        given = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return run([words[0], "-q", *given, *words[1:]], cwd=cwd)


_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_MOVED_ON = (
    "Where the mirror has newer versions by now, `svm-host image lock` writes a lock of those; "
    "--mirror names one that keeps old versions"
)


def _packages(said: str) -> list[Package]:
    """What `--print-uris` printed."""
    found = []
    for line in said.splitlines():
        if match := _URI.match(line):
            file = match["file"]
            parts = file.removesuffix(".deb").split("_")
            if len(parts) != _PARTS:
                raise ImageError(f"apt names a package {file!r}, in which no version can be read")
            found.append(Package(parts[0], unquote(parts[1]), file, match["sha256"]))
    if not found:
        raise ImageError("apt says that nothing has to be installed")
    return found
