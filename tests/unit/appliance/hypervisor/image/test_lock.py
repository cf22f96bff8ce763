"""The lock of images."""

from dataclasses import replace
from pathlib import Path

import pytest

from appliance.hypervisor.image.lock import SHIPPED, ImageLock, Library, Package
from appliance.hypervisor.image.running import ImageError

SHA = "ab" * 32
LOCK = ImageLock(
    epoch=1_700_000_000,
    suite="bookworm",
    kernel=Package("linux-image-6.1", "6.1-1", "linux-image-6.1_6.1-1_amd64.deb", SHA),
    packages={"base": (Package("dash", "1:0.5.12-2", "dash_1%3a0.5.12-2_amd64.deb", SHA),)},
    libraries={"svm": (Library("lmdb", "3.0.0", "lmdb-3.0.0-cp311-cp311-linux_x86_64.whl", SHA),)},
)


def test_a_lock_is_read_as_it_was_written(tmp_path: Path) -> None:
    """And one package stands on a line, so that a change can be reviewed."""
    file = tmp_path / "image.lock"
    file.write_text(LOCK.text())
    assert ImageLock.load(file) == LOCK
    assert sum("dash" in line for line in LOCK.text().splitlines()) == 1


def test_the_lock_that_is_shipped_is_whole() -> None:
    """It has what both images are made from."""
    lock = ImageLock.load(SHIPPED)
    assert {"base", "cloud"} <= lock.packages.keys()
    assert {"svm", "guest"} == lock.libraries.keys()
    assert {"systemd", "python3", "bubblewrap"} <= {pin.name for pin in lock.packages["base"]}
    assert "cloud-init" in {pin.name for pin in lock.packages["cloud"]}
    assert {"grpcio", "yara_x", "yara-x"} & {pin.name for pin in lock.libraries["svm"]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no lock of images"),
        ("[]", "is no lock of images"),
        (LOCK.text().replace('"format": 1', '"format": 2'), "is of format 2"),
        (LOCK.text().replace(SHA, "00"), "is no lock of images"),
        (LOCK.text().replace('"dash_1', '"../dash_1'), "is no lock of images"),
        (LOCK.text().replace('"1:0.5.12-2"', '"1 -o evil"'), "is no lock of images"),
        (LOCK.text().replace('"dash"', '"--option"'), "is no lock of images"),
    ],
)
def test_what_is_no_lock_is_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    """Nothing of it gets as far as a path or a command line."""
    file = tmp_path / "image.lock"
    file.write_text(text)
    with pytest.raises(ImageError, match=said):
        ImageLock.load(file)


def test_a_lock_that_is_not_there_says_who_writes_one(tmp_path: Path) -> None:
    """By name."""
    with pytest.raises(ImageError, match="svm-host image lock"):
        ImageLock.load(tmp_path / "none")


def test_packages_are_written_in_order() -> None:
    """Whatever order they came in."""
    pins = LOCK.packages["base"] + (replace(LOCK.packages["base"][0], name="bash"),)
    assert (
        replace(LOCK, packages={"base": pins}).text() == replace(LOCK, packages={"base": pins[::-1]}).text()
    )
