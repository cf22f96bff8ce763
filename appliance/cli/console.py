"""What a command of `svm` is given, how it prints, and how it ends."""

import argparse
import io
import json
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import indent
from typing import Any, TextIO

from appliance.config import admin_socket
from appliance.domain.digest import DIGEST_BYTES
from appliance.domain.identity import BEGINNING_BYTES
from appliance.rpc.admin_client import AdminClient
from appliance.rpc.admin_line import CertificateLine, SocketLine

SERVER_VARIABLE = "KVMLA_ADMIN_SERVER"
IDENTITY_VARIABLE = "KVMLA_ADMIN_IDENTITY"

DONE = 0
NO = 1  # the answer is no: problems were found, nothing is known, an engine is not ready
FAILED = 2  # the command could not do its work

# What the SVM takes of a SHA-256: it is sent as bytes.
_BEGINNING = re.compile(rf"(?:[0-9A-Fa-f]{{2}}){{{BEGINNING_BYTES},{DIGEST_BYTES}}}")


def exit_codes(no: str = "") -> str:
    """Return the part of a help text that lists them. no: what 1 means, "" where it does not occur."""
    lines = ["exit codes:", "  0  done", f"  1  {no}", "  2  the command could not do its work; see stderr"]
    return "\n".join(line for line in lines if no or not line.startswith("  1"))


class CommandError(Exception):
    """A command cannot do its work. The message says what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Console:
    """The outside of a command of `program`. clock: seconds since the epoch. input: where people answer."""

    environ: Mapping[str, str]
    out: TextIO
    err: TextIO
    clock: Callable[[], float]
    input: TextIO = field(default_factory=lambda: sys.stdin or io.StringIO())  # None where it was closed
    program: str = "svm"

    def say(self, *lines: str) -> None:
        """Print lines to the output; nothing in them steers the terminal but ends of lines and tabs."""
        for line in lines:
            print(plain(line, "\n\t"), file=self.out)

    def say_json(self, value: Any) -> None:
        """Print one JSON document."""
        self.say(json.dumps(value, indent=2))

    def say_json_list(self, values: Iterable[Any]) -> None:
        """Print one JSON list, each value as it comes: all of them may be more than memory holds."""
        between = "["
        for value in values:
            print(between, indent(json.dumps(value, indent=2), "  "), sep="\n", end="", file=self.out)
            between = ","
        self.say("[]" if between == "[" else "\n]")

    def talks(self) -> bool:
        """Whether a person reads what is printed, and can answer."""
        return self.input.isatty() and self.out.isatty()

    def ask(self, question: str) -> str:
        """Return the line that a person types, without blanks around it. Raises EOFError for none."""
        self.out.write(f"{plain(question)} ")
        self.out.flush()
        line = self.input.readline()
        if not line:
            self.say("")
            raise EOFError
        return line.strip()

    def complain(self, sentence: str) -> None:
        """Print one line to the errors."""
        print(f"{self.program}: {plain(sentence)}", file=self.err)

    def complain_of_fault(self, sentence: str) -> None:
        """Print the exception that is being handled, whole, and one line."""
        print(plain(traceback.format_exc(), "\n\t"), end="", file=self.err)
        self.complain(f"{sentence}, by a fault of its own: please report what stands above")

    def client(self, args: argparse.Namespace) -> AdminClient:
        """Return the connection to the SVM that the arguments and the environment name."""
        server = args.server or ("" if args.socket else self.environ.get(SERVER_VARIABLE, ""))
        if not server:
            return AdminClient(SocketLine(admin_socket(args.socket, args.config, self.environ)))
        identity = args.identity or self.environ.get(IDENTITY_VARIABLE)
        if args.socket or not identity:
            raise CommandError(
                f"--server {server} needs --identity DIR, and no --socket: the directory that "
                "`svm certificates issue` made"
            )
        return AdminClient(CertificateLine(server, Path(identity)))


def print_what_there_is(stream: TextIO | None) -> None:
    """Have letters that the stream's encoding lacks printed as escapes: a guest's word ends no command."""
    if isinstance(stream, io.TextIOWrapper):  # None where it was closed
        stream.reconfigure(errors="backslashreplace")


def add_socket_arguments(parser: argparse.ArgumentParser) -> None:
    """Enter the arguments that say which SVM is asked."""
    group = parser.add_argument_group("which SVM")
    group.add_argument("--socket", metavar="PATH", help="its administration socket (KVMLA_ADMIN_SOCKET)")
    group.add_argument(
        "--config", metavar="FILE", type=Path, help="its settings, where server.admin names it (KVMLA_CONFIG)"
    )
    group.add_argument("--server", metavar="HOST:PORT", help=f"one on another machine ({SERVER_VARIABLE})")
    group.add_argument(
        "--identity",
        metavar="DIR",
        type=Path,
        help=f"ca.pem, administrator.pem and administrator.key for --server ({IDENTITY_VARIABLE})",
    )


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """Enter --json."""
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")


def check_limit(limit: int, most: int) -> None:
    """Raise CommandError for a --limit that is not 1 to `most`."""
    if not 1 <= limit <= most:
        raise CommandError(f"--limit is {limit}: give 1 to {most}")


def beginning_of(digits: str) -> bytes:
    """Return the beginning of a SHA-256 that a person has typed. Raises CommandError where it is none."""
    if not _BEGINNING.fullmatch(digits):
        raise CommandError(
            f"{digits[:80]!r} is no beginning of a SHA-256: give 8, 10, 12 or more of its digits, whole pairs"
        )
    return bytes.fromhex(digits)


def plain(text: str, but: str = "") -> str:
    """Return the text without anything that could steer a terminal: some of it is guests' words.

    but: what stays nevertheless.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter in but else "?" for letter in text)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return aligned lines. Numbers stand to the right, the last column is not filled up."""
    body = [[f"{cell:,}" if isinstance(cell, int) else plain(str(cell)) for cell in row] for row in rows]
    return _aligned([list(head), *body])


def _aligned(lines: list[list[str]]) -> list[str]:
    columns = list(zip(*lines, strict=True))
    layout = [
        (max(map(len, column)), all(cell == "-" or cell.replace(",", "").isdigit() for cell in column[1:]))
        for column in columns
    ]
    return [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, (width, number) in zip(line, layout, strict=True)
        ).rstrip()
        for line in lines
    ]


def pairs(rows: Iterable[tuple[str, object]]) -> list[str]:
    """Return "name  value" lines with the values in one column."""
    rows = list(rows)
    width = max((len(name) for name, _ in rows), default=0)
    return [f"{name:<{width}}  {plain(str(value))}".rstrip() for name, value in rows]
