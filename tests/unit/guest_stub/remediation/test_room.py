"""Tests of the bounds at work."""

import os
from pathlib import Path

from guest_stub.remediation.bounds import Bounds
from guest_stub.remediation.done import Result
from guest_stub.remediation.quarantine import Quarantine
from guest_stub.remediation.room import Room
from guest_stub.remediation.store import SEALED, Store
from tests.support.quarantined import NOON_NS, bad_file, contents, quarantine, settings, take

DAY_NS = 86_400 * 10**9


def test_the_oldest_make_room_and_that_is_said(tmp_path: Path) -> None:
    """By path, threat and day; what is left fits."""
    with quarantine(tmp_path, bytes=100_000) as opened:
        names = ["first", "sec\x1bond", "third"]
        done = [take(opened, bad_file(tmp_path / name, name.encode() * 8_000), "T") for name in names]
        assert [one.result for one in done] == [Result.QUARANTINED] * 3
        assert [len(one.dropped) for one in done] == [0, 0, 1]
        [sentence] = done[2].dropped
        assert sentence == (
            f"dropped from the quarantine for good, to make room: {done[0].entry}: {tmp_path}/first "
            "(T, sealed 2030-03-17)"
        )
        assert contents(opened) == [name.encode() * 8_000 for name in names[1:]]


def test_age_is_a_bound_too(tmp_path: Path) -> None:
    """What is older goes at the next start, and when something else comes."""
    with quarantine(tmp_path) as opened:
        take(opened, bad_file(tmp_path / "old"))
    with quarantine(tmp_path, now_ns=NOON_NS + 30 * DAY_NS) as opened:
        assert opened.expire() == []
    with quarantine(tmp_path, now_ns=NOON_NS + 30 * DAY_NS + 1) as opened:
        done = take(opened, bad_file(tmp_path / "new"))
        assert [sentence.split(":")[0] for sentence in done.dropped] == [
            "dropped from the quarantine for good, by its age"
        ]
    with quarantine(tmp_path, now_ns=NOON_NS + 61 * DAY_NS) as opened:
        assert len(opened.tidy()) == 1
        assert list(opened.entries()) == []


def test_what_cannot_be_opened_goes_as_well(tmp_path: Path) -> None:
    """Named by its id, with the reason."""
    opened = Quarantine(settings(tmp_path, days=1), lambda: NOON_NS)
    path = tmp_path / "quarantine" / "0123456789ab.sealed"
    path.write_bytes(b"no sealed file at all, and long enough to be one, as it seems")
    os.utime(path, ns=(0, 0))
    assert opened.expire() == [
        "dropped from the quarantine for good, by its age: 0123456789ab (it is no sealed file)"
    ]
    assert not path.exists()
    opened.close()


def test_what_somebody_is_at_stays(tmp_path: Path) -> None:
    """It goes when he is done, at the next look."""
    with quarantine(tmp_path) as opened:
        id = take(opened, bad_file(tmp_path / "file")).entry
    store = Store(tmp_path / "quarantine")
    room = Room(store, Bounds(1, 1), lambda: NOON_NS + 9 * DAY_NS)
    with store.held(id):
        assert room.expire() == []
    assert len(room.expire()) == 1
    assert store.names(SEALED) == []
    store.close()
