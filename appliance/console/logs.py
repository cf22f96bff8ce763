"""Structured log lines on stderr: JSON, or text for people.

A line has `time`, `level`, `event` and the event's own fields. Event names are stable; the table in
docs/operations.md lists them. What guests say appears only as field values, escaped and cut, and
lines that a guest can cause are throttled: a hostile one must not flood the operator's log.
"""

import json
import logging
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

import structlog
from structlog.typing import FilteringBoundLogger, Processor

from appliance.config import LogSettings

MAX_VALUE_LETTERS = 4096
MAX_KIND_LETTERS = 100  # of what tells kinds of library messages apart
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

PERIOD_SECONDS = 60.0
LINES_PER_GUEST = 5  # of one event, in one period
LINES_PER_EVENT = 50  # of all guests together, in one period
EVERYBODY = "(all)"

Fields = MutableMapping[str, Any]


def configure(settings: LogSettings, stream: TextIO, clock: Callable[[], float]) -> None:
    """Have all of structlog's loggers write lines to the stream. clock: seconds since the epoch.

    To be called once, by the program, before anything is served. A stream that cannot be written to
    loses lines; it never fails the caller.
    """
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        _ordered(clock),
        _as_json if settings.format == "json" else _as_text,
    ]
    lines = _Lines(stream)
    structlog.configure(
        processors=processors,
        logger_factory=lambda *_names: lines,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[settings.level]),
    )


def adopt_library_lines(log: FilteringBoundLogger) -> Callable[[], None]:
    """Send what comes by the standard library's logging, warnings and worse, to `log`.

    "library says" is the event for libraries (asyncio, grpc), "part says" for parts of the SVM.

    Each kind of message is throttled, since guests can cause them. That a guest went away amid a call
    is no error, though gRPC says so, and is left out. Returns a function that ends this.
    """
    handler = _LibraryHandler(log)
    root = logging.getLogger()
    root.addHandler(handler)
    return lambda: root.removeHandler(handler)


@dataclass(slots=True)
class _Window:
    """One period of one event and one guest, or of one event and everybody."""

    began: float
    written: int = 0
    withheld: int = 0


class Throttled:
    """Writes the first lines of each event and guest in a period, then counts.

    How many were withheld is written as "lines withheld" when the period is over: at the next line, or
    at the next `tick`. Memory is bounded: a guest gets a window of its own only while the event as a
    whole is under LINES_PER_EVENT.
    """

    def __init__(self, log: FilteringBoundLogger, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds, never going back."""
        self._log = log
        self._clock = clock
        self._windows: dict[tuple[str, str], _Window] = {}
        self._looked = clock()

    def warning(self, event: str, guest: str, **fields: Any) -> None:
        """Write a line about what a guest did, or count it."""
        if self.admit(event, guest):
            self._log.warning(event, guest=guest, **fields)

    def admit(self, event: str, who: str) -> bool:
        """Whether a line may be written now; one that may not is counted."""
        if self._clock() - self._looked >= PERIOD_SECONDS:
            self.tick()
        everybody = self._window(event, EVERYBODY)
        if everybody.written >= LINES_PER_EVENT:
            everybody.withheld += 1
            return False
        own = self._window(event, who)
        if own.written >= LINES_PER_GUEST:
            own.withheld += 1
            return False
        own.written += 1
        everybody.written += 1
        return True

    def tick(self) -> None:
        """End the periods that are over. Call it now and then, so that counts appear without a next line."""
        now = self._looked = self._clock()
        over = [key for key, window in self._windows.items() if now - window.began >= PERIOD_SECONDS]
        for key in over:
            self._end(key)

    def _window(self, event: str, who: str) -> _Window:
        """Return the running period, a new one where the last is over."""
        key, now = (event, who), self._clock()
        window = self._windows.get(key)
        if window is not None and now - window.began >= PERIOD_SECONDS:
            self._end(key)
            window = None
        if window is None:
            window = self._windows[key] = _Window(now)
        return window

    def _end(self, key: tuple[str, str]) -> None:
        window = self._windows.pop(key)
        if window.withheld:
            event, who = key
            seconds = round(self._clock() - window.began)
            self._log.warning("lines withheld", of=event, who=who, lines=window.withheld, seconds=seconds)


class _LibraryHandler(logging.Handler):
    """Hands on the records of the standard library's logging."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        super().__init__(level=logging.WARNING)
        self._log = log
        self._throttled = Throttled(log)

    def emit(self, record: logging.LogRecord) -> None:
        if _is_of_one_who_went(record):
            return
        event = "part says" if record.name.startswith("appliance.") else "library says"
        if self._throttled.admit(event, f"{record.name}: {record.msg}"[:MAX_KIND_LETTERS]):
            write = self._log.error if record.levelno >= logging.ERROR else self._log.warning
            write(event, logger=record.name, text=self.format(record))


def _is_of_one_who_went(record: logging.LogRecord) -> bool:
    """Whether gRPC says that it could not send to a client that is gone."""
    kind = record.exc_info[0] if record.exc_info else None
    return record.name.startswith("grpc") and kind is not None and kind.__name__ == "ExecuteBatchError"


class _Lines:
    """The end of the chain: one line a call. What cannot be written is lost, and harms nobody."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # a closed pipe, a full disk, a closed file
            return

    debug = info = warning = error = msg


def _ordered(clock: Callable[[], float]) -> Processor:
    """Return the step that puts time, level and event first and cuts long values."""

    def order(_logger: Any, _method: str, fields: Fields) -> Fields:
        when = datetime.fromtimestamp(clock(), tz=UTC).isoformat(timespec="milliseconds")
        head = {
            "time": when.replace("+00:00", "Z"),
            "level": fields.pop("level"),
            "event": fields.pop("event"),
        }
        return head | {name: _cut(value) for name, value in fields.items()}

    return order


def _cut(value: Any) -> Any:
    """Return a value of bounded size: of a long text its beginning and its end."""
    if isinstance(value, str) and len(value) > MAX_VALUE_LETTERS:
        half = MAX_VALUE_LETTERS // 2
        return f"{value[:half]} [{len(value) - 2 * half} letters left out] {value[-half:]}"
    return value


def _as_json(_logger: Any, _method: str, fields: Fields) -> str:
    """Return the line as one JSON object; what JSON does not know goes in as its text."""
    return json.dumps(fields, default=str)


def _as_text(_logger: Any, _method: str, fields: Fields) -> str:
    """Return the line for people. Values with anything but plain letters are quoted and escaped."""
    time, level, event = fields.pop("time"), fields.pop("level"), fields.pop("event")
    parts = [f"{time} {level:<7} {event}"]
    for name, value in fields.items():
        text = str(value)
        plain = text.isascii() and text.isprintable() and text and not set(text) & set(' "\\=')
        parts.append(f"{name}={text if plain else json.dumps(text)}")
    return " ".join(parts)
