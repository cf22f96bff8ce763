"""A lock of images is made; test_apt and test_libraries have its parts."""

from pathlib import Path

import pytest

from appliance.hypervisor.image.libraries import Wheels
from appliance.hypervisor.image.lock import Library, Package
from appliance.hypervisor.image.locking import debian_part, python_part
from appliance.hypervisor.image.recipe import KERNEL, PACKAGE_SETS
from appliance.hypervisor.image.running import ImageError

SHA = "ab" * 32


class AptOfNames:
    """Finds whatever is asked for."""

    suite = "bookworm"
    updated = False

    def update(self) -> None:
        """Nothing is brought."""
        self.updated = True

    def resolve(self, names: tuple[str, ...]) -> tuple[Package, ...]:
        """Each, in version 1."""
        assert self.updated
        return tuple(Package(name, "1", f"{name}_1_all.deb", SHA) for name in names)

    def kernel(self, metapackage: str) -> Package:
        """Likewise."""
        return Package(metapackage, "1", f"{metapackage}_1_amd64.deb", SHA)


def test_each_set_of_packages_is_locked_with_the_kernel() -> None:
    """And libraries stay what they were."""
    libraries = {"svm": (Library("a", "1", "a-1-py3-none-any.whl", SHA),)}
    lock = debian_part(AptOfNames(), 5, libraries)  # type: ignore[arg-type]
    assert (lock.epoch, lock.suite, lock.kernel.name, lock.libraries) == (5, "bookworm", KERNEL, libraries)
    found = {name: tuple(pin.name for pin in pins) for name, pins in lock.packages.items()}
    assert found == PACKAGE_SETS


def test_a_directory_that_is_no_source_tree_is_a_sentence(tmp_path: Path) -> None:
    """It names the file that is missing."""
    with pytest.raises(
        ImageError, match=r"requirements\.lock: No such file or directory: name the source tree"
    ):
        python_part(tmp_path, Wheels(tmp_path / "wheels"))
