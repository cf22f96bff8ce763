"""svm guests list|files, over real gRPC."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.domain.outcome import Disposition, Source
from appliance.domain.verdict import Verdict
from appliance.rpc.exposure_admin import GuestSeen
from tests.support.commands import NOON, Ran, svm
from tests.support.exposure_side_server import ExposureSide, exposure_side

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
    ran, at = guests(side, "list"), "2030-03-17 17:46:40 UTC"
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[1:] == [
        f"ip-1   yes       vm?           1,234  default  -            {'-':<23}  {at}  {at}",
        f"ip-2   no        -                 0  acme     revoked      {at}  {'-':<23}  -",
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
        }
    ]


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
