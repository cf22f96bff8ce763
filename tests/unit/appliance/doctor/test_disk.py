"""Room for what the SVM keeps."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.config import CacheSettings, Settings
from appliance.doctor.disk import disk_findings, may_grow
from tests.support.disks import small_disk

SETTINGS = Settings()
MIB = 1 << 20


def test_what_may_still_come_is_counted(tmp_path: Path) -> None:
    """Bounds of the settings, without what the files take already."""
    assert may_grow(tmp_path, SETTINGS) == (1024 + 512 + 256) * MIB
    (tmp_path / "cache.lmdb").write_bytes(b"x" * MIB)
    assert may_grow(tmp_path, SETTINGS) == (1024 + 512 + 256 - 1) * MIB
    (tmp_path / "events.lmdb").write_bytes(b"x" * MIB)
    assert may_grow(tmp_path, replace(SETTINGS, cache=CacheSettings(map_mib=8))) == (7 + 512 + 255) * MIB


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a disk")
def test_a_disk_says_what_it_lacks(tmp_path: Path) -> None:
    """Less room than may be wanted is to be known; none, and one that is read-only, is amiss."""
    with small_disk(tmp_path / "disk", 80) as disk:
        found = list(disk_findings(disk.outside(), SETTINGS))
        assert [each.good for each in found] == [None]
        assert "80.0 MiB are free; cache, exposure and events may grow by 1,792.0 MiB" in found[0].said
        disk.fill()
        found = list(disk_findings(disk.outside(), SETTINGS))
        assert [each.good for each in found] == [False]
        assert "0.0 MiB are free" in found[0].said
        disk.free()
        disk.run("mount", "-o", "remount,ro", os.fspath(disk.top))
        found = list(disk_findings(disk.outside(), SETTINGS))
        assert [each.good for each in found] == [False]
        assert "read-only" in found[0].said


def test_a_disk_with_room_is_well(tmp_path: Path) -> None:
    """All that has a bound fits."""
    settings = replace(
        SETTINGS,
        cache=CacheSettings(map_mib=8),
        exposure=replace(SETTINGS.exposure, max_mib=8),
        events=replace(SETTINGS.events, max_mib=1),
    )
    (found,) = disk_findings(tmp_path, settings)
    assert found.good
