"""The root file system of packages; test_images_boot makes whole ones."""

import os
from pathlib import Path

import pytest

from appliance.hypervisor.image.apt import Apt
from appliance.hypervisor.image.base import make_base
from appliance.hypervisor.image.running import ImageError


def test_who_is_not_root_is_told_before_anything_is_brought(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mmdebstrap would fail in its middle."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ImageError, match="sudo"):
        make_base(Apt(tmp_path / "apt", "bookworm"), [], 0, tmp_path / "base.tar")
    assert list(tmp_path.iterdir()) == []
