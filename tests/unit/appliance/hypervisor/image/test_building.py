"""The steps of making an image; tests/real_vms/test_images_boot.py makes whole ones."""

from pathlib import Path

import pytest

from appliance.hypervisor.image import building
from appliance.hypervisor.image.building import Workshop, recipe_of, to_qcow2
from appliance.hypervisor.image.lock import SHIPPED, ImageLock
from appliance.hypervisor.image.running import ImageError


def test_a_set_of_packages_that_the_lock_has_not_is_a_sentence(tmp_path: Path) -> None:
    """An older lock may lack it."""
    with pytest.raises(ImageError, match="the lock has no packages 'none'"):
        Workshop(ImageLock.load(SHIPPED), tmp_path).base("none")


def test_an_image_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    """One that was there stays when another cannot be made."""
    file = tmp_path / "image.qcow2"
    file.write_text("the one before")
    with pytest.raises(ImageError, match="qemu-img failed"):
        to_qcow2(tmp_path / "none", file)
    assert file.read_text() == "the one before"
    (tmp_path / "raw").write_bytes(b"content".ljust(1 << 20, b"\0"))
    to_qcow2(tmp_path / "raw", file)
    assert file.read_bytes()[:4] == b"QFI\xfb"


def test_of_an_image_that_was_broken_off_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be gigabytes."""

    def broken_off(words: list[str | Path]) -> None:
        Path(words[-1]).write_text("half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(building, "run", broken_off)
    with pytest.raises(KeyboardInterrupt):
        to_qcow2(tmp_path / "raw", tmp_path / "image.qcow2")
    assert list(tmp_path.iterdir()) == []


def test_every_unit_of_a_recipe_is_a_file_that_starts_something() -> None:
    """With words for systemd."""
    for kind in ("svm", "guest"):
        for file in recipe_of(kind).units.values():
            assert "ExecStart=/usr/bin/" in file.read_text()
