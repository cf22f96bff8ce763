"""svm ksn statement show, and the text on which `svm policy` has people decide."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightagent.v1 import admin_pb2

from appliance.cli.console import DONE, NO, CommandError, Console, add_socket_arguments, exit_codes, plain
from appliance.cli.ksn_words import type_word
from appliance.config import load
from appliance.domain.digest import BEGINNING_RULE, MIN_BEGINNING, is_beginning
from appliance.domain.policy import KsnType
from appliance.ksn.statement import (
    NoStatement,
    read_addition,
    shown_hash,
    shown_text,
    version_in_force,
)

_DESCRIPTION = """\
Prints the KSN Statement: what this program sends to the Kaspersky Security Network (KSN), field
by field, to whom, and how long it is kept. But for --text it works without a running SVM."""

_EPILOG = f"""\
Without --type it is that of the type in the settings, without --version the version in force; the
provider's own text stands below it, where the settings name one. The SHA-256 of what is printed is
the one that `svm policy history` shows with a decision on it. With --text it is the text of such a
decision, to the letter, also where the provider's own has changed since; the SVM keeps each.

examples:
  svm ksn statement show
  svm ksn statement show --type private --version 1
  svm ksn statement show --text 9f86d081884c7d65
  svm ksn statement show | sha256sum

{exit_codes("--text: nobody has decided on such a text")}"""


@dataclass(frozen=True, slots=True)
class ShownStatement:
    """A text on which somebody decides."""

    type: KsnType
    version: int
    text: str

    @property
    def sha256(self) -> bytes:
        """Of the text, 32 bytes."""
        return bytes.fromhex(shown_hash(self.text))


def add(verbs: Any) -> None:
    """Enter the commands. verbs: what argparse's add_subparsers gave."""
    parser = verbs.add_parser("statement", help="what is accepted with KSN", description=_DESCRIPTION)
    show: argparse.ArgumentParser = parser.add_subparsers(metavar="VERB", required=True).add_parser(
        "show", help="print the Statement", description=_DESCRIPTION, epilog=_EPILOG
    )
    show.add_argument("--type", choices=list(map(str, KsnType)), help="of this type of KSN")
    show.add_argument("--version", metavar="V", type=int, help="this version, also an earlier one")
    show.add_argument(
        "--text",
        metavar="SHA256",
        help=f"what somebody decided on; its first {MIN_BEGINNING} digits may do",
    )
    add_socket_arguments(show)
    show.set_defaults(run=_show)


def _show(args: argparse.Namespace, console: Console) -> int:
    return _show_program(args, console) if args.text is None else _show_decided(args, console)


def _show_decided(args: argparse.Namespace, console: Console) -> int:
    """Print a text that the SVM has kept."""
    if args.type or args.version is not None:
        raise CommandError("--text names a text of its own: give it without --type and --version")
    beginning = args.text.lower()
    if not is_beginning(beginning):
        raise CommandError(f"--text is {args.text[:80]!r}: {BEGINNING_RULE}")
    with console.client(args) as client:
        reply = client.statement_text(beginning)
    if not reply.known:
        console.complain(
            f"nobody has decided on a text whose SHA-256 begins with {beginning}: see `svm policy history`"
        )
        return NO
    # What goes into a file keeps its SHA-256; a terminal gets nothing that could steer it.
    console.out.write(plain(reply.text, "\n\t") if console.out.isatty() else reply.text)
    return DONE


def _show_program(args: argparse.Namespace, console: Console) -> int:
    """Print a text that this program has."""
    settings = load(args.config, console.environ).ksn
    ksn_type = KsnType(args.type or settings.type)
    in_force = version_in_force(ksn_type)
    version = in_force if args.version is None else args.version
    # What the provider adds, it adds to the Statement on which people decide now.
    adds = ksn_type == settings.type and version == in_force
    console.out.write(_statement(ksn_type, version, settings.statement_addition_file if adds else None).text)
    return DONE


def statement_in_force(
    status: admin_pb2.GetKsnStatusReply, args: argparse.Namespace, console: Console
) -> ShownStatement:
    """Return the text on which a tenant is to decide, or raise CommandError.

    status: of the SVM, which says the type and the version. args: with `config`, of the SVM's settings.
    """
    try:
        ksn_type = KsnType(type_word(status.type))
    except ValueError:
        raise CommandError("the SVM names no type of KSN that this svm knows: update this svm") from None
    version = status.participation.statement_in_force or version_in_force(ksn_type)
    return _statement(ksn_type, version, load(args.config, console.environ).ksn.statement_addition_file)


def _statement(ksn_type: KsnType, version: int, addition: Path | None) -> ShownStatement:
    """Return a Statement with the provider's own text, where a file has one. Raises CommandError."""
    try:
        return ShownStatement(ksn_type, version, shown_text(ksn_type, version, read_addition(addition)))
    except NoStatement as error:
        raise CommandError(str(error)) from error
