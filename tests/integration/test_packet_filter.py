"""One address that opens connections without end at a real SVM's door, beside newcomers from others."""

import json
from pathlib import Path
from typing import Any

from tests.support.flooded_door import NEWCOMERS
from tests.support.networks import in_network_apart


def flooded(directory: Path, *how: str) -> dict[str, Any]:
    """What came of it."""
    ran = in_network_apart("tests.support.flooded_door", directory, *how)
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


def test_behind_the_packet_filter_all_newcomers_come_in(tmp_path: Path) -> None:
    """Each at the first try, and a guest enrols; the door is never full; the doctor tells of it."""
    found = flooded(tmp_path, "filtered")
    assert (found["in"], found["full"]) == (NEWCOMERS, 0)
    assert found["dropped"] > 0
    (said,) = found["doctor"]
    assert said.startswith("ok     packet filter: guards the doors; dropped: ")
    assert "enrolment too fast" in said


def test_without_its_rules_the_door_is_full(tmp_path: Path) -> None:
    """The same flood takes all connections of the door, and the doctor says what to do."""
    found = flooded(tmp_path)
    assert found["full"] > 0
    (said,) = found["doctor"]
    assert said.startswith("note   packet filter: nothing keeps one address from ")
