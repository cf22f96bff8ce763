"""Tests of what is said of an entry."""

import json
from dataclasses import replace

import pytest

from guest_stub.remediation.about import about, label, utc
from tests.support.quarantined import NOON_NS, entry_of


def test_a_line_does_nothing_to_a_terminal() -> None:
    """Neither by the path nor by the threat."""
    entry = entry_of(b"x", path=b"/srv/\x1b[2J\xff")
    entry = replace(entry, judged=replace(entry.judged, threat="T\u202e"))
    assert label(entry) == r"0123456789ab: /srv/\x1b[2J\xff (T\u202e, sealed 2030-03-17)"
    assert label(entry_of(b"x", path=b"")).startswith("0123456789ab: no known path (Test.File")


def test_all_of_it_is_json() -> None:
    """Bytes that are no text have a form of their own."""
    entry = entry_of(b"x", path=b"/\xff")
    xattrs = ((b"user.\xff", b"\x00\xff"),)
    entry = replace(entry, attributes=replace(entry.attributes, xattrs=xattrs, left_out=(b"user.y",)))
    told = json.loads(json.dumps(about(entry)))
    assert (told["path_b64"], told["mode"], told["size"]) == ("L/8=", "0640", 1)
    assert told["xattrs"] == {"user.\udcff": "00ff"}
    assert (told["sealed_at"], told["not_kept"]) == ("2030-03-17T17:46:40+00:00", ["user.y"])


@pytest.mark.parametrize(
    ("time_ns", "said"),
    [
        (NOON_NS, "2030-03-17T17:46:40+00:00"),
        (-(10**9), "1969-12-31T23:59:59+00:00"),
        (2**63 - 1, "2262-04-11T23:47:16+00:00"),
        (10**21, "1000000000000"),
    ],
)
def test_times(time_ns: int, said: str) -> None:
    """A file's time may be any number."""
    assert utc(time_ns) == said
