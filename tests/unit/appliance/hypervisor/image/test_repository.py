"""A directory of packages, read by apt itself in test_apt; here what is no package."""

from pathlib import Path

import pytest

from appliance.hypervisor.image.repository import make_repository
from appliance.hypervisor.image.running import ImageError


def test_a_file_that_is_no_package_is_a_sentence(tmp_path: Path) -> None:
    """Of dpkg-deb."""
    file = tmp_path / "none_1_all.deb"
    file.write_text("none")
    with pytest.raises(ImageError, match=r"dpkg-deb failed.*none_1_all\.deb"):
        make_repository(tmp_path / "repository", [file], "bookworm")
