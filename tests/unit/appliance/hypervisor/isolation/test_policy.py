"""After which events machines are cut off."""

import pytest
from lightagent.v1 import events_pb2

from appliance.hypervisor.isolation.policy import concerned, reason_in

SAID = events_pb2.SaidByGuest(number=1)


def event(kind: str, text: str = "", **fields: object) -> events_pb2.Event:
    """One of the SVM."""
    return events_pb2.Event(number=7, kind=kind, text=text, threat="Worm", guest="u", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("happened", "on", "reason"),
    [
        (event("detection", "malicious, by clamd"), ("malicious",), "malicious Worm (event 7)"),
        (event("detection", "suspicious, by clamd"), ("malicious",), ""),
        (
            event("detection", "suspicious, by clamd"),
            ("malicious", "suspicious"),
            "suspicious Worm (event 7)",
        ),
        (event("detection", "malicious, by clamd", said=SAID), ("malicious",), ""),
        (event("detection", "malicious", said=SAID), ("malicious",), ""),
        (event("outbreak"), ("outbreak",), "outbreak Worm (event 7)"),
        (event("outbreak"), ("malicious", "clone"), ""),
        (event("clone"), ("clone",), "clone Worm (event 7)"),
        (event("attach"), ("malicious", "suspicious", "outbreak", "clone"), ""),
        (event("detection", "malicious, by clamd"), (), ""),
    ],
)
def test_what_the_settings_name_is_a_reason(
    happened: events_pb2.Event, on: tuple[str, ...], reason: str
) -> None:
    """By the SVM's word, never by a guest's alone."""
    assert reason_in(happened, on) == reason


def test_whom_an_event_concerns() -> None:
    """Its guest, or all that an outbreak names."""
    assert concerned(event("detection")) == ["u"]
    assert concerned(events_pb2.Event(kind="outbreak", guests=["a", "b"])) == ["a", "b"]
