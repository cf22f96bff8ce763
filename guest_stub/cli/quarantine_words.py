"""The words of `guest-stub quarantine`, read into options."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_EXAMPLES = """\
examples:
  guest-stub quarantine list                             what is in the quarantine
  guest-stub quarantine restore 5eba9b8d03b1             put it back as it was
  guest-stub quarantine restore 5eba9b8d03b1 --to ./it   put it elsewhere
  guest-stub quarantine export 5eba9b8d03b1 sample.zip   for an analyst; the password is "infected"

exit codes:
  0  done
  2  not done, or not all of it: the message says why
"""


def add_quarantine(commands: "Commands") -> None:
    """Add the command and its own commands."""
    quarantine = commands.add_parser(
        "quarantine",
        help="files that were taken away: list, show, restore, delete, export",
        description="What was taken away since it was detected; it is encrypted there, with all that it was.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_EXAMPLES,
    )
    todo = quarantine.add_subparsers(dest="todo", required=True, metavar="WHAT")
    listing = _add(todo, "list", "what is in the quarantine, oldest first")
    listing.add_argument("--json", action="store_true", help="one JSON object a line, then a summary")
    show = _add(todo, "show", "all that is known of a file in the quarantine")
    show.add_argument("id", metavar="ID", help="as the list has it")
    show.add_argument("--json", action="store_true", help="one JSON object")
    restore = _add(todo, "restore", "put a file back as it was, never in place of another")
    restore.add_argument("id", metavar="ID", help="as the list has it")
    restore.add_argument(
        "--to", metavar="PATH", help="put it there, and not where it was; a name that is free"
    )
    delete = _add(todo, "delete", "delete files of the quarantine for good")
    which = delete.add_mutually_exclusive_group(required=True)
    which.add_argument("ids", nargs="*", default=[], metavar="ID", help="as the list has them")
    which.add_argument("--all", action="store_true", help="everything that is in the quarantine")
    export = _add(
        todo, "export", 'write a file into a ZIP with the password "infected"; it stays in the quarantine'
    )
    export.add_argument("id", metavar="ID", help="as the list has it")
    export.add_argument("file", metavar="FILE", help="the ZIP to be made; a name that is free")
    export.add_argument("--raw", action="store_true", help="the bare content, which is dangerous, and no ZIP")


def _add(todo: "Commands", name: str, help: str) -> argparse.ArgumentParser:
    parser = todo.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
    parser.add_argument(
        "--state", type=Path, metavar="DIR", help="the stub's state, which the quarantine is in"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings, instead of those in /etc")
    parser.set_defaults(svm=None)
    return parser
