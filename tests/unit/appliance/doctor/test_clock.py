"""Whether the time of this machine can be right."""

import subprocess

from appliance.doctor.clock import clock_findings, is_synchronized

NOW = 1_900_000_000.0


def test_what_is_newer_than_the_clock_is_told() -> None:
    """With where it was found; a little is nothing."""
    clock, _ = clock_findings(NOW, NOW + 3600, "/state/events.lmdb", True)
    assert (clock.good, clock.said.split(",")[0]) == (
        False,
        "/state/events.lmdb is 60 min ahead of the clock",
    )
    clock, _ = clock_findings(NOW, NOW + 60, "/state/events.lmdb", True)
    assert clock.good


def test_a_clock_that_follows_nothing_is_to_be_known() -> None:
    """And so is one of which that is not told."""
    assert [[each.good for each in clock_findings(NOW, 0, "", said)] for said in (True, False, None)] == [
        [True, True],
        [True, None],
        [True, None],
    ]


def test_the_kernel_says_whether_it_is_kept_right() -> None:
    """As timedatectl, where that can say it."""
    said = is_synchronized()
    ran = subprocess.run(
        ["timedatectl", "show", "--property=NTPSynchronized", "--value"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert said is (ran.stdout.strip() == "yes") if ran.returncode == 0 else said is not None
