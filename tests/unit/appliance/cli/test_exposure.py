"""svm verdicts exposure, over real gRPC."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.rpc.exposure_admin import HolderView
from tests.support.commands import NOON, svm
from tests.support.exposure_side_server import ExposureSide, exposure_side

HEX = "ab" * 32


@pytest.fixture
def side(tmp_path: Path) -> Iterator[ExposureSide]:
    """An SVM of which nothing is known yet."""
    with exposure_side(tmp_path) as running:
        yield running


def test_the_guests_that_hold_a_file_are_shown(side: ExposureSide) -> None:
    """With when they had it first and last."""
    side.exposure.held_by[bytes.fromhex(HEX)] = [HolderView("ip-1", int(NOON) - 3600, int(NOON), True)]
    ran = svm("verdicts", "exposure", HEX, "--socket", side.path)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[1] == ("ip-1   yes       2030-03-17 16:46:40 UTC  2030-03-17 17:46:40 UTC")
    assert svm("verdicts", "exposure", HEX, "--json", "--socket", side.path).json == {
        "digest": HEX,
        "holders": [
            {
                "guest": "ip-1",
                "attached": True,
                "first": "2030-03-17T16:46:40Z",
                "last": "2030-03-17T17:46:40Z",
            }
        ],
    }


def test_a_file_that_nobody_holds_is_said_so(side: ExposureSide) -> None:
    """Exit code 1 tells a script the same; what is no digest is 2."""
    ran = svm("verdicts", "exposure", HEX, "--socket", side.path)
    assert (ran.code, ran.out) == (1, f"{HEX}: no guest is known to hold it\n")
    assert svm("verdicts", "exposure", "zz", "--socket", side.path).code == 2
