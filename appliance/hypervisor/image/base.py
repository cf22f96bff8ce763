"""The root file system of Debian packages, as a tar: by mmdebstrap, from exactly the packages of a lock."""

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from appliance.hypervisor.image.apt import Apt
from appliance.hypervisor.image.lock import Package
from appliance.hypervisor.image.repository import make_repository
from appliance.hypervisor.image.running import ImageError, run

# Neither is read by a machine, and both take space on every host.
_LEFT_OUT = ("/usr/share/man/*", "/usr/share/locale/*", "/usr/share/doc/*", "/usr/share/info/*")


def make_base(apt: Apt, packages: Sequence[Package], epoch: int, file: Path) -> None:
    """Write the tar. Takes half a minute. Raises ImageError."""
    if os.geteuid() != 0:
        raise ImageError("a root file system is made by root: run this with sudo")
    with TemporaryDirectory(prefix="kvmla-base-", dir=file.parent) as scratch:
        repository = Path(scratch) / "packages"
        make_repository(repository, apt.fetch(packages), apt.suite)
        left_out = [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
        made = Path(scratch) / "base.tar"
        run(
            [
                *("mmdebstrap", "--mode=root", "--variant=essential", "--architectures=amd64"),
                f"--include={','.join(package.name for package in packages)}",
                "--dpkgopt=force-unsafe-io",
                *left_out,
                *(apt.suite, made, f"deb [trusted=yes] copy://{repository} ./"),
            ],
            {"SOURCE_DATE_EPOCH": str(epoch), "TMPDIR": scratch},
            apart=True,  # it mounts proc, sysfs and devices
        )
        made.rename(file)
