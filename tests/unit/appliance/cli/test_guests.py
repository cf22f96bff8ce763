"""svm guests list|files, over real gRPC."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.domain.outcome import Disposition, Source
from appliance.domain.verdict import Verdict
from appliance.domain.vm import HostVm, Protection, VmPower
from appliance.inventory.register import PlacedVm
from appliance.inventory.watch import VmView
from appliance.rpc.exposure_admin import GuestSeen
from tests.support.commands import NOON, Ran, svm
from tests.support.exposure_side_server import ExposureSide, exposure_side


def uuid_of(number: int) -> str:
    """The UUID of a machine."""
    return f"00000000-0000-0000-0000-{number:012}"


def machine(
    number: int, name: str, protection: Protection, scanned_at: float = 0.0, isolated: bool = False
) -> VmView:
    """A machine of acme on host-1."""
    power = VmPower.OFF if protection is Protection.OFF else VmPower.RUNNING
    vm = HostVm(uuid_of(number), name, power, isolated=isolated)
    return VmView(PlacedVm(vm, uuid_of(99), "host-1", NOON), protection, "acme", scanned_at=scanned_at)


DIGEST = b"\xab" * 32
BAD = Verdict(Disposition.MALICIOUS, Source.ENGINE, 1, 0, threat="Worm\x1b")
WHEN = int(NOON)


@pytest.fixture
def side(tmp_path: Path) -> Iterator[ExposureSide]:
    """An SVM of which nothing is known yet."""
    with exposure_side(tmp_path) as running:
        yield running


def guests(side: ExposureSide, *arguments: object) -> Ran:
    """Run `svm guests` against the SVM."""
    return svm("guests", *arguments, "--socket", side.path)


def test_guests_are_listed(side: ExposureSide) -> None:
    """Who is here, and who was; none is exit code 1."""
    assert guests(side, "list").code == 1
    assert guests(side, "list", "--json").json == []
    side.exposure.known = [
        GuestSeen("ip-1", True, "vm\x1b", WHEN, WHEN, 1234),
        GuestSeen("ip-2", False, "", 0, 0, 0, "acme", "revoked", WHEN),
    ]
    ran, at, none = guests(side, "list"), "2030-03-17 17:46:40 UTC", f"{'-':<23}"
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[1:] == [
        f"ip-1            -        -  yes       vm?           1,234  default  -            {none}  "
        f"{at}  {at}",
        f"ip-2            -        -  no        -                 0  acme     revoked      {at}  {none}  -",
    ]
    away = guests(side, "list", "--json").json[1]
    assert (away["tenant"], away["certificate"], away["first"]) == ("acme", "revoked", None)
    assert away["certificate_ends"] == "2030-03-17T17:46:40Z"
    assert guests(side, "list", "--json", "--limit", 1).json == [
        {
            "guest": "ip-1",
            "attached": True,
            "host_name": "vm\x1b",
            "files": 1234,
            "tenant": "default",
            "certificate": None,
            "certificate_ends": None,
            "first": "2030-03-17T17:46:40Z",
            "last": "2030-03-17T17:46:40Z",
            "machine": None,
        }
    ]


def test_machines_stand_with_their_guests_and_those_without_come_last(side: ExposureSide) -> None:
    """How each is protected, in words; --unprotected leaves those that need something done."""
    side.exposure.known = [GuestSeen(uuid_of(1), True, "web", WHEN, WHEN, 5, "acme", "good", WHEN)]
    side.hosts.views = [
        machine(1, "web", Protection.PROTECTED),
        machine(2, "db", Protection.NOT_ENROLLED),
        machine(3, "old", Protection.OFF, scanned_at=float(WHEN)),
        machine(4, "new", Protection.OFF),
        machine(5, "bad", Protection.SILENT, isolated=True),
    ]
    lines = guests(side, "list").out.splitlines()[1:]
    assert [line.split("  ")[1] for line in lines] == [
        "protected",
        "not enrolled",
        "powered off, scanned 2030-03-17 17:46:40 UTC",
        "powered off, never scanned",
        "stub silent, isolated",
    ]
    assert "web on host-1" in lines[0]
    found = guests(side, "list", "--unprotected", "--json").json
    assert [(entry["machine"]["name"], entry["machine"]["protection"]) for entry in found] == [
        ("db", "not-enrolled"),
        ("bad", "silent"),
    ]
    assert found[0]["machine"]["unprotected_since"] is None
    assert (found[0]["guest"], found[0]["tenant"], found[0]["machine"]["power"]) == (
        uuid_of(2),
        "acme",
        "running",
    )
    side.hosts.views = side.hosts.views[:1]
    ran = guests(side, "list", "--unprotected")
    assert (ran.code, ran.out) == (1, "every machine is protected\n")


def test_files_of_a_guest_are_listed(side: ExposureSide) -> None:
    """With what is known of them; a threat's name steers no terminal."""
    side.exposure.held["ip-1"] = [(DIGEST, WHEN, WHEN), (b"\xac" * 32, WHEN, WHEN)]
    side.exposure.verdicts[DIGEST] = BAD
    times = "2030-03-17 17:46:40 UTC  2030-03-17 17:46:40 UTC"
    assert guests(side, "files", "ip-1").out.splitlines() == [
        f"{'ab' * 32}  MALICIOUS     {times}  Worm?",
        f"{'ac' * 32}  -             {times}",
    ]
    [bad] = guests(side, "files", "ip-1", "--malicious", "--json").json
    assert (bad["digest"], bad["outcome"], bad["threat"]) == ("ab" * 32, "MALICIOUS", "Worm\x1b")
    assert len(guests(side, "files", "ip-1", "--limit", 1, "--json").json) == 1


def test_nothing_of_the_kind_is_exit_code_1(side: ExposureSide) -> None:
    """And a guest that nobody knows 2."""
    side.exposure.held["ip-1"] = []
    ran = guests(side, "files", "ip-1", "--malicious")
    assert (ran.code, ran.out) == (1, "nothing of the kind is known\n")
    assert (guests(side, "files", "ip-1", "--json").code, guests(side, "files", "ip-1", "--json").json) == (
        1,
        [],
    )
    ran = guests(side, "files", "ip-9")
    assert (ran.code, "svm guests list" in ran.err) == (2, True)
    assert guests(side, "list", "--limit", 0).code == 2
