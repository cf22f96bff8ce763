"""Writes a lock of images: what the mirror has now, and of the Python libraries what requirements.lock allows."""

from pathlib import Path

from appliance.hypervisor.image.apt import Apt
from appliance.hypervisor.image.libraries import Wheels
from appliance.hypervisor.image.lock import ImageLock, Library
from appliance.hypervisor.image.python_lock import part_of
from appliance.hypervisor.image.recipe import KERNEL, PACKAGE_SETS
from appliance.hypervisor.image.running import ImageError

SUITE = "bookworm"
EXTRAS: dict[str, tuple[str, ...]] = {"svm": ("appliance",), "guest": ()}


def debian_part(apt: Apt, epoch: int, libraries: dict[str, tuple[Library, ...]]) -> ImageLock:
    """A lock with the newest packages, and these libraries. Raises ImageError."""
    apt.update()
    sets = {name: apt.resolve(packages) for name, packages in PACKAGE_SETS.items()}
    return ImageLock(epoch, apt.suite, apt.kernel(KERNEL), sets, libraries)


def python_part(source: Path, wheels: Wheels) -> dict[str, tuple[Library, ...]]:
    """The libraries of each recipe, by the requirements.lock of a source tree. Raises ImageError."""
    try:
        requirements, project = (
            (source / "requirements.lock").read_text(),
            (source / "pyproject.toml").read_text(),
        )
    except OSError as error:
        raise ImageError(f"{error.filename}: {error.strerror}: name the source tree by --source") from error
    return {name: wheels.resolve(part_of(requirements, project, extras)) for name, extras in EXTRAS.items()}
