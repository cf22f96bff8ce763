"""Backups; of a machine that runs, see tests/hosts/test_scan_image.py."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import libvirt
import pytest

from appliance.hypervisor.virt.backups import BackupLeft, backup
from appliance.hypervisor.virt.connection import VirtError, VirtHost
from appliance.hypervisor.virt.machine import Machine, find_machine
from tests.support.failing_libvirt import refused


def test_what_libvirt_cannot_do_is_a_sentence(tmp_path: Path) -> None:
    """Its test host makes no backups; a path that is too long for a socket is told before."""
    with VirtHost.open("test:///default") as host:
        machine = find_machine([host], "test")
        with (
            pytest.raises(VirtError, match="no backup of test can be begun"),
            backup(machine, ["vda"], Path("/tmp")),
        ):
            pass
        with (
            pytest.raises(VirtError, match="too long for a socket"),
            backup(machine, ["vda"], tmp_path / ("x" * 100)),
        ):
            pass
        with pytest.raises(VirtError, match=r"set disks\.backup_dir"), backup(machine, ["vda"], None):
            pass


class Backed:
    """A machine of libvirt's test host, as if it could be backed up.

    ends: what libvirt raises when it is asked for the backup that has begun, 0 for nothing; aborts: when that
    is to end.
    """

    def __init__(self, real: libvirt.virDomain, ends: int = 0, aborts: int = 0) -> None:
        self._real, self._ends, self._aborts = real, ends, aborts
        self._begun = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def backupBegin(self, xml: str, _checkpoint: str | None, _flags: int) -> None:
        """It goes on."""
        self._begun = xml

    def backupGetXMLDesc(self, _flags: int) -> str:
        """What goes on."""
        if self._ends and self._begun:
            raise refused(self._ends, "odd")
        if not self._begun:
            raise refused(libvirt.VIR_ERR_NO_DOMAIN_BACKUP, "no domain backup job present")
        return self._begun

    def abortJob(self) -> None:
        """It is over."""
        if self._aborts:
            raise refused(self._aborts, "odd")
        self._begun = ""


@pytest.fixture
def host() -> Iterator[VirtHost]:
    """libvirt's test host."""
    with VirtHost.open("test:///default") as host:
        yield host


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory whose path is short: a socket's is bounded."""
    with tempfile.TemporaryDirectory(prefix="kb", dir="/tmp") as directory:
        yield Path(directory)


def backed(host: VirtHost, **failures: int) -> Machine:
    """The machine of the test host."""
    domain = Backed(host.connection.lookupByName("test"), **failures)
    return Machine(host, cast(libvirt.virDomain, domain))


@pytest.mark.parametrize(
    "failures",
    [
        {},
        {"ends": libvirt.VIR_ERR_NO_DOMAIN_BACKUP},
        {"ends": libvirt.VIR_ERR_NO_DOMAIN},
        {"aborts": libvirt.VIR_ERR_OPERATION_INVALID},
    ],
    ids=["ended", "it had ended", "the machine had gone", "it ended meanwhile"],
)
def test_a_backup_that_is_over_leaves_nothing(place: Path, host: VirtHost, failures: dict[str, int]) -> None:
    """Its files go."""
    with backup(backed(host, **failures), [], place) as begun:
        begun.socket.touch()
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    ("failures", "why"),
    [
        ({"ends": libvirt.VIR_ERR_OPERATION_TIMEOUT}, "libvirt does not tell of a backup of test: odd"),
        ({"aborts": libvirt.VIR_ERR_INTERNAL_ERROR}, "the backup of test cannot be ended: odd"),
    ],
    ids=["asked", "ended"],
)
def test_a_backup_that_may_go_on_keeps_its_files(
    place: Path, host: VirtHost, failures: dict[str, int], why: str
) -> None:
    """libvirt is there and does not end it; the sentence says what does."""
    with (
        pytest.raises(BackupLeft, match=rf"may go on in QEMU, .* \({why}\): scan test again once libvirt"),
        backup(backed(host, **failures), [], place) as begun,
    ):
        begun.socket.touch()
    assert [each.suffix for each in place.iterdir()] == [".sock"]


def test_a_backup_is_ended_by_a_connection_that_was_opened_anew(place: Path, host: VirtHost) -> None:
    """One that went meanwhile does not count as none going on."""
    machine = backed(host, ends=libvirt.VIR_ERR_INTERNAL_ERROR)
    with backup(machine, [], place) as begun:
        begun.socket.touch()
        before = host.connection
        before.close()
    assert host.connection is not before
    assert list(place.iterdir()) == []
