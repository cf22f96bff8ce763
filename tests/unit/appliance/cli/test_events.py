"""svm events, over real gRPC."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.domain.event import Event, EventKind, Said
from tests.support.commands import NOON, ROOT, Ran, svm, svm_program
from tests.support.events_side_server import EventsSide, events_side

DIGEST = bytes.fromhex("ab" * 32)
FOUND = Event(
    NOON,
    EventKind.DETECTION,
    "ip-192.168.122.17",
    DIGEST,
    "Eicar-Test",
    "as the policy says",
    said=Said(7, NOON - 60, b"/tmp/\x1b[2J\xff", "bash", "quarantined"),
)
OUTBREAK = Event(
    NOON + 1, EventKind.OUTBREAK, threat="Eicar-Test", text="10 of them", count=40, guests=("ip-1", "ip-2")
)
POLICY = Event(NOON + 2, EventKind.POLICY, text="tenant acme", actor="uid-0.pid-1")


@pytest.fixture
def side(tmp_path: Path) -> Iterator[EventsSide]:
    """An SVM of which nothing is known yet."""
    with events_side(tmp_path) as running:
        yield running


def events(side: EventsSide, *arguments: object) -> Ran:
    """Run `svm events` against the SVM."""
    return svm("events", *arguments, "--socket", side.path)


def test_a_line_has_when_what_who_and_why(side: EventsSide) -> None:
    """The newest last; a guest's words steer no terminal."""
    side.keep(FOUND, OUTBREAK, POLICY)
    ran = events(side)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "2030-03-17 17:46:40 UTC  detection   ip-192.168.122.17  guest says: Eicar-Test; /tmp/?[2J\ufffd; "
        f"by bash; quarantined; as the policy says; {'ab' * 32}",
        "2030-03-17 17:46:41 UTC  outbreak    -  Eicar-Test; 10 of them; guests ip-1, ip-2 and 38 more",
        "2030-03-17 17:46:42 UTC  policy      -  tenant acme; by uid-0.pid-1",
    ]


def test_a_guests_word_is_told_from_the_svms_own(side: EventsSide) -> None:
    """A guest that forges a detection to the letter is shown to say it."""
    own = Event(NOON, EventKind.DETECTION, "ip-1", DIGEST, "Eicar-Test", "malicious, by eicar")
    side.keep(own, replace(own, said=Said(1)))
    mine, forged = events(side).out.splitlines()
    assert "guest says" not in mine
    assert forged == mine.replace("Eicar-Test", "guest says: Eicar-Test", 1)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_letters_that_a_terminal_lacks_are_escaped(side: EventsSide, encoding: str) -> None:
    """A guest's path ends no listing, whatever the encoding."""
    side.keep(replace(FOUND, said=Said(7, path="/tmp/\u20ac".encode())), POLICY)
    ran = svm_program("events", "--socket", side.path, environ={"PYTHONIOENCODING": encoding})
    assert (ran.code, ran.err) == (0, "")
    assert ("/tmp/\u20ac" if encoding == "utf-8" else "/tmp/\\u20ac") in ran.out
    assert "tenant acme" in ran.out


def test_a_program_gets_one_list(side: EventsSide) -> None:
    """Each event with the same names, what is not there as null."""
    assert events(side, "--json").json == []
    side.keep(FOUND, POLICY)
    found, policy = events(side, "--json").json
    assert found == {
        "number": 1,
        "at": "2030-03-17T17:46:40Z",
        "kind": "detection",
        "guest": "ip-192.168.122.17",
        "digest": "ab" * 32,
        "threat": "Eicar-Test",
        "text": "as the policy says",
        "author": None,
        "count": None,
        "guests": [],
        "tenant": None,
        "said": {
            "number": 7,
            "at": "2030-03-17T17:45:40Z",
            "path": "/tmp/\x1b[2J\udcff",
            "process": "bash",
            "action": "quarantined",
        },
    }
    assert (policy["said"], policy["author"]) == (None, "uid-0.pid-1")


def test_events_are_chosen(side: EventsSide) -> None:
    """By kind, guest, time and number."""
    side.keep(Event(NOON - 7200, EventKind.ATTACH, "ip-1"), FOUND, OUTBREAK, POLICY)
    assert [each["kind"] for each in events(side, "--kind", "policy", "--kind", "attach", "--json").json] == [
        "attach",
        "policy",
    ]
    assert [each["number"] for each in events(side, "--guest", "ip-1", "--json").json] == [1, 3]
    assert [each["number"] for each in events(side, "--since", "60m", "--json").json] == [2, 3, 4]
    assert [each["number"] for each in events(side, "--limit", 1, "--json").json] == [4]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--limit", 0), "--limit is 0: give 1 to 100000"),
        (("--since", "yesterday"), "give a span such as 90m"),
        (("--kind", "nonsense"), "invalid choice: 'nonsense' (choose from 'svm-start', 'svm-stop',"),
    ],
)
def test_a_bad_argument_is_one_line(side: EventsSide, arguments: tuple[object, ...], said: str) -> None:
    """Exit code 2, and what may be given."""
    ran = events(side, *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert ran.err.count("\n") == 1


def test_without_an_svm_it_says_so(tmp_path: Path) -> None:
    """With what to do."""
    ran = svm("events", "--socket", tmp_path / "none.sock")
    assert ran.code == 2
    assert "is `svm serve` running?" in ran.err


def test_following_prints_each_event_as_it_comes(side: EventsSide) -> None:
    """A JSON object a line, at once, until the program is ended."""
    side.keep(FOUND)
    command = [sys.executable, "-m", "appliance", "events", "--follow", "--json", "--socket", str(side.path)]
    environ = {"PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["kind"] == "detection"
        side.keep(POLICY)
        assert json.loads(process.stdout.readline())["kind"] == "policy"
        process.terminate()
