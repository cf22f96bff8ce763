"""Lines for the operator: their form, and that no guest can flood them."""

import ast
import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from grpc._cython.cygrpc import ExecuteBatchError  # type: ignore[import-not-found]  # not typed
from structlog.testing import capture_logs

from appliance.config import LogSettings
from appliance.console.logs import LINES_PER_EVENT, LINES_PER_GUEST, Throttled, adopt_library_lines, configure

ROOT = Path(__file__).parents[4]
NOON = 1_900_000_000.25


@pytest.fixture(autouse=True)
def own_configuration() -> Iterator[None]:
    """Leave structlog as it was found."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def lines() -> io.StringIO:
    """Where the lines go."""
    return io.StringIO()


def log_to(lines: Any, **settings: str) -> Any:
    """A logger that writes to `lines`."""
    configure(LogSettings(**settings), lines, lambda: NOON)
    return structlog.get_logger("svm")


def test_json_lines_have_time_level_and_event_first(lines: io.StringIO) -> None:
    """One JSON object a line, with the event's own fields behind the three of every line."""
    log_to(lines, format="json").warning("guest refused", guest="uid-0.pid-1", count=3)
    assert lines.getvalue() == (
        '{"time": "2030-03-17T17:46:40.250Z", "level": "warning", "event": "guest refused", '
        '"guest": "uid-0.pid-1", "count": 3}\n'
    )


def test_text_lines_escape_what_could_steer_a_terminal(lines: io.StringIO) -> None:
    """A guest's words cannot break a line, forge a field, or send escape sequences."""
    log_to(lines, format="text").info("seen", plain="a-b", forged="x\nlevel=error \x1b[2J\u202e", empty="")
    assert lines.getvalue() == (
        "2030-03-17T17:46:40.250Z info    seen plain=a-b "
        'forged="x\\nlevel=error \\u001b[2J\\u202e" empty=""\n'
    )


def test_lines_below_the_level_are_left_out(lines: io.StringIO) -> None:
    """The level of the settings counts."""
    log = log_to(lines, level="warning")
    log.info("small")
    log.error("large")
    assert [json.loads(line)["event"] for line in lines.getvalue().splitlines()] == ["large"]


def test_long_values_keep_their_ends(lines: io.StringIO) -> None:
    """A value of any length costs a bounded line."""
    log_to(lines).info("long", value="a" * 5000 + "z" * 5000)
    value = json.loads(lines.getvalue())["value"]
    assert value.startswith("aaa")
    assert value.endswith("zzz")
    assert "[5904 letters left out]" in value


def test_values_that_json_does_not_know_are_written_as_text(lines: io.StringIO) -> None:
    """Bytes and lone surrogates make a line, not an exception."""
    log_to(lines).info("odd", value=b"\xff", name="\udc80")
    assert json.loads(lines.getvalue())["value"] == "b'\\xff'"


def test_an_exception_is_in_the_line(lines: io.StringIO) -> None:
    """A caught exception's traceback stands in a field of its one line."""
    log = log_to(lines)
    try:
        raise ValueError("why")
    except ValueError:
        log.exception("failed")
    [line] = lines.getvalue().splitlines()
    assert "ValueError: why" in json.loads(line)["exception"]


def test_a_stream_that_cannot_be_written_harms_nobody(lines: io.StringIO) -> None:
    """The disk is full, or the reader went away: lines are lost, and the caller goes on to the next."""
    with io.TextIOWrapper(open("/dev/full", "wb", buffering=0), write_through=True) as full:
        with pytest.raises(OSError, match="No space left"):
            full.write("what a line meets here\n")
        log = log_to(full)
        log.error("nobody reads this")
    log.error("nor this, since the stream is closed")
    log_to(lines).error("but this")
    assert [json.loads(line)["event"] for line in lines.getvalue().splitlines()] == ["but this"]


def test_what_libraries_log_becomes_lines(lines: io.StringIO) -> None:
    """Warnings of the standard library's logging come out as lines, until that is ended."""
    leave = adopt_library_lines(log_to(lines))
    library = logging.getLogger("some.library")
    library.info("too small")
    library.warning("odd: %s", "thing")
    library.error("bad")
    logging.getLogger("appliance.scanning.pool").warning("a worker died")
    leave()
    library.warning("after")
    read = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [(line["level"], line["event"], line["logger"], line["text"]) for line in read] == [
        ("warning", "library says", "some.library", "odd: thing"),
        ("error", "library says", "some.library", "bad"),
        ("warning", "part says", "appliance.scanning.pool", "a worker died"),
    ]


def test_a_client_that_went_away_is_no_error(lines: io.StringIO) -> None:
    """gRPC's word that it could not send is left out; what else it says, and others, are not."""
    leave = adopt_library_lines(log_to(lines))
    for name, kind in (
        ("grpc._cython.cygrpc", ExecuteBatchError),
        ("grpc._cython.cygrpc", KeyError),
        ("x", ExecuteBatchError),
    ):
        try:
            raise kind("why")
        except (ExecuteBatchError, KeyError):
            logging.getLogger(name).exception("raised")
    leave()
    read = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [(line["logger"], "KeyError" in line["text"]) for line in read] == [
        ("grpc._cython.cygrpc", True),
        ("x", False),
    ]


def test_one_message_of_a_library_does_not_hide_another(lines: io.StringIO) -> None:
    """Each kind of message has its own few lines a minute."""
    leave = adopt_library_lines(log_to(lines))
    library = logging.getLogger("some.library")
    for number in range(20):
        library.warning("a worker died: %d", number)
    library.warning("clamd is gone")
    leave()
    texts = [json.loads(line)["text"] for line in lines.getvalue().splitlines()]
    assert texts == [*(f"a worker died: {number}" for number in range(5)), "clamd is gone"]


class Clock:
    """Time that moves when told."""

    now = 100.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


def test_one_guest_gets_a_few_lines_and_then_a_count() -> None:
    """The sixth line of one event and guest in a minute is withheld; the count comes when it is over."""
    clock = Clock()
    with capture_logs() as written:
        throttled = Throttled(structlog.get_logger(), clock)
        for number in range(8):
            throttled.warning("flood", "bad", number=number)
        throttled.warning("flood", "good")
        throttled.warning("other", "bad")
        clock.now += 59
        throttled.tick()
        assert [line["event"] for line in written] == ["flood"] * 6 + ["other"]
        clock.now += 1
        throttled.tick()
    assert written[-1] == {
        "event": "lines withheld",
        "of": "flood",
        "who": "bad",
        "lines": 3,
        "seconds": 60,
        "log_level": "warning",
    }


def test_a_new_period_begins_with_lines_again() -> None:
    """After a minute the count of the last is written first, then the new line, without any tick."""
    clock = Clock()
    with capture_logs() as written:
        throttled = Throttled(structlog.get_logger(), clock)
        for _ in range(6):
            throttled.warning("flood", "bad")
        clock.now += 61
        throttled.warning("flood", "bad")
    assert [line["event"] for line in written] == ["flood"] * 5 + ["lines withheld", "flood"]


def test_many_guests_together_are_bounded_too() -> None:
    """A guest that comes back under ever new names writes fifty lines a minute, and fills no memory."""
    clock = Clock()
    with capture_logs() as written:
        throttled = Throttled(structlog.get_logger(), clock)
        for number in range(10_000):
            throttled.warning("flood", f"name-{number}")
        assert len(written) == 50
        clock.now += 60
        throttled.tick()
    assert [(line["who"], line["lines"]) for line in written[50:]] == [("(all)", 9950)]


def events_of_the_sources() -> set[str]:
    """Every event that a module of the SVM writes by structlog; the inner parts write by logging."""
    found = {"part says", "library says"}
    for path in (ROOT / "appliance").rglob("*.py"):
        # The last two are other programs.
        if {"scanning", "scans", "verdicts", "hypervisor", "private_ksn"} & set(path.parts):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in {"debug", "info", "warning", "error", "exception"}
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                found.add(str(node.args[0].value))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Trouble":
                found.update(str(said.value) for said in node.args if isinstance(said, ast.Constant))
    return found


def test_the_documentation_has_every_event() -> None:
    """docs/operations.md lists the events that an operator may look for, and no others."""
    text = (ROOT / "docs" / "operations.md").read_text()
    table = text.partition("| event | level |")[2].partition("\n\n")[0]
    cells = re.findall(r"^\| (`.+?`) \|", table, re.MULTILINE)
    assert {event for cell in cells for event in re.findall("`(.+?)`", cell)} == events_of_the_sources()


def test_the_documentation_tells_the_limits_of_lines() -> None:
    """The numbers in docs/operations.md are those of the code."""
    text = (ROOT / "docs" / "operations.md").read_text()
    assert f"limited to {LINES_PER_GUEST} of one event and\nguest and {LINES_PER_EVENT} of one event" in text
