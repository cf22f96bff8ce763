"""What a scan says of files and directories: lines for people as clamscan prints them, or JSON objects."""

import json
import os
from base64 import b64encode
from dataclasses import dataclass
from typing import Any, Protocol

from guest_stub.console import printable
from guest_stub.ends import ASKED, FOUND, PLAIN, DirectoryLeft, End, Left, directory_words, words
from guest_stub.outcome import Outcome
from guest_stub.progress import clock_time
from guest_stub.tally import Totals

_UNNAMED_DIRECTORIES = frozenset({DirectoryLeft.EXCLUDED, DirectoryLeft.VANISHED})
_UNOPENED = frozenset({Left.FIFO, Left.SOCKET, Left.DEVICE})


@dataclass(frozen=True, slots=True)
class FileEnd:
    """How one file ended.

    path: as Python reads it from the disk, bytes that are not UTF-8 as lone surrogates. sha256: 32
    bytes or b"". kept: the answer came from a kept decision. inode, handle: by which a detected file is found
    again, as in looking.Looked.
    """

    path: str
    end: End
    sha256: bytes = b""
    threat: str = ""
    engine: str = ""
    member: str = ""
    reason: str = ""
    category: str = ""
    kept: bool = False
    inode: bytes = b""
    handle: bytes = b""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a scan ended. incomplete: why not everything was scanned, "" when it was."""

    totals: Totals
    seconds: float
    svm: str
    generation: int
    incomplete: str = ""

    @property
    def exit_code(self) -> int:
        """clamscan's: 0 nothing found, 1 something found, 2 nothing found but not everything looked at."""
        if self.totals.found:
            return 1
        return 2 if self.totals.failed or self.incomplete else 0


class Lines(Protocol):
    """Where lines go (console.Console). Safe for several threads."""

    def line(self, text: str, wait: bool = False) -> None:
        """Take one line. wait: the calling thread may be held while too many lines wait."""


class Report(Protocol):
    """Where a scan tells what it found. Safe for several threads."""

    def wants(self, end: End) -> bool:
        """Whether file() says anything of a file that ends so."""

    def file(self, file: FileEnd, wait: bool = False) -> None:
        """One file has ended. wait: the calling thread may be held; never on the loop."""

    def directory(self, why: DirectoryLeft, path: str, reason: str) -> None:
        """One directory was not entered, or not read to its end."""

    def ending(self, ending: Ending) -> None:
        """The scan is over."""


class TextReport:
    """Lines for people; nothing in them acts on a terminal."""

    def __init__(self, lines: Lines, everything: bool) -> None:
        """everything: files with nothing to say as well."""
        self._lines = lines
        self._everything = everything

    def wants(self, end: End) -> bool:
        """See Report."""
        return self._everything or end not in PLAIN

    def file(self, file: FileEnd, wait: bool = False) -> None:
        """See Report."""
        path = printable(f"{file.path}!{file.member}" if file.member else file.path)
        if file.end in FOUND:
            kind = "FOUND" if file.end is Outcome.MALICIOUS else "FOUND (suspicious)"
            said = f"{printable(file.threat or 'unnamed')} {kind}"
        elif file.end in PLAIN:
            said = "OK" if isinstance(file.end, Outcome) else words(file.end)
        else:
            reason = file.reason or ("not opened" if file.end in _UNOPENED else "")
            said = words(file.end).upper() + (reason and f" ({printable(reason)})")
        self._lines.line(f"{path}: {said}", wait)

    def directory(self, why: DirectoryLeft, path: str, reason: str) -> None:
        """See Report."""
        if self._everything or why not in _UNNAMED_DIRECTORIES:
            said = directory_words(why) + (reason and f" ({printable(reason)})")
            self._lines.line(f"{printable(path)}: DIRECTORY LEFT OUT: {said}")

    def ending(self, ending: Ending) -> None:
        """See Report."""
        self._lines.line("")
        self._lines.line("----------- scan summary -----------")
        for name, value in summary_rows(ending):
            self._lines.line(f"{name:<30}{value:>16}")
        if ending.incomplete:
            self._lines.line(f"not complete: {printable(ending.incomplete)}")


def summary_rows(ending: Ending) -> list[tuple[str, str]]:
    """Names and values of the summary for people."""
    totals = ending.totals
    time = clock_time(ending.seconds) if ending.seconds >= 60 else f"{ending.seconds:.2f} s"
    return [
        ("files", f"{totals.files:,}"),
        *((f"  {words(end)}", f"{count:,}") for end, count in sorted(totals.ends.items()) if end in ASKED),
        ("other entries", f"{totals.seen - totals.files:,}"),
        *(
            (f"  {words(end)}", f"{count:,}")
            for end, count in sorted(totals.ends.items())
            if end not in ASKED
        ),
        ("directories", f"{totals.directories:,}"),
        *(
            (f"  left out: {directory_words(why)}", f"{count:,}")
            for why, count in sorted(totals.directories_left.items())
        ),
        ("bytes in files", f"{totals.bytes:,}"),
        ("  read", f"{totals.bytes_read:,}"),
        ("  sent to the SVM", f"{totals.bytes_sent:,}"),
        ("answered by the SVM at once", f"{totals.at_once:,}"),
        ("  after a scan or a wait", f"{totals.later:,}"),
        ("answered from earlier scans", f"{totals.from_decisions:,}"),
        ("time", time),
    ]


class JsonReport:
    """One JSON object a line, all of it ASCII. The fields are in the manual page guest-stub(1)."""

    def __init__(self, lines: Lines, everything: bool) -> None:
        """everything: files with nothing to say as well."""
        self._lines = lines
        self._everything = everything

    def wants(self, end: End) -> bool:
        """See Report."""
        return self._everything or end not in PLAIN

    def file(self, file: FileEnd, wait: bool = False) -> None:
        """See Report."""
        fields = {
            "type": "file",
            **path_fields(file.path),
            "outcome": words(file.end),
            "sha256": file.sha256.hex(),
            "threat": file.threat,
            "engine": file.engine,
            "member": file.member,
            "category": file.category,
            "reason": file.reason,
            "kept": file.kept or "",
        }
        self._object({name: value for name, value in fields.items() if value != ""}, wait)

    def directory(self, why: DirectoryLeft, path: str, reason: str) -> None:
        """See Report."""
        if self._everything or why not in _UNNAMED_DIRECTORIES:
            fields = {"type": "directory", **path_fields(path), "left_out": directory_words(why)}
            self._object(fields | ({"reason": reason} if reason else {}))

    def ending(self, ending: Ending) -> None:
        """See Report."""
        totals = ending.totals
        self._object(
            {
                "type": "summary",
                "complete": not ending.incomplete,
                "incomplete": ending.incomplete,
                "exit_code": ending.exit_code,
                "entries": totals.seen,
                "files": totals.files,
                "outcomes": {words(end): count for end, count in sorted(totals.ends.items())},
                "directories": totals.directories,
                "directories_left_out": {
                    directory_words(why): count for why, count in sorted(totals.directories_left.items())
                },
                "bytes": totals.bytes,
                "bytes_read": totals.bytes_read,
                "bytes_sent": totals.bytes_sent,
                "answered_from_earlier_scans": totals.from_decisions,
                "answered_at_once": totals.at_once,
                "answered_later": totals.later,
                "asked_without_reading": totals.known_digests,
                "seconds": round(ending.seconds, 3),
                "svm": ending.svm,
                "generation": f"{ending.generation:016x}",
            }
        )

    def _object(self, fields: dict[str, Any], wait: bool = False) -> None:
        self._lines.line(json.dumps(fields), wait)


def path_fields(path: str) -> dict[str, str]:
    """The path for people; and its bytes in base64 where they are not UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raw = os.fsencode(path)
        return {"path": raw.decode("utf-8", "replace"), "path_b64": b64encode(raw).decode()}
    return {"path": path}
