"""A command line of a small program, and how its commands fail."""

import argparse
import io

import pytest

from appliance.cli.console import FAILED, CommandError, Console
from appliance.cli.parsing import INTERRUPTED, PIPE_CLOSED, Parser, run_command


def small(failure: BaseException | None) -> Parser:
    """A program with one command, which fails so."""

    def work(_args: argparse.Namespace, _console: Console) -> int:
        if failure:
            raise failure
        return 0

    parser = Parser(prog="small")
    parser.add_subparsers(required=True, parser_class=Parser).add_parser("work").set_defaults(run=work)
    return parser


def ran(failure: BaseException | None, *words: str) -> tuple[int, str]:
    """The exit code, and what it complained of."""
    err = io.StringIO()
    code = run_command(small(failure), words, Console({}, io.StringIO(), err, lambda: 0.0, program="small"))
    return code, err.getvalue()


@pytest.mark.parametrize(
    ("failure", "code", "complaint"),
    [
        (None, 0, ""),
        (CommandError("the disk is gone: mount it"), FAILED, "small: the disk is gone: mount it\n"),
        (PermissionError(13, "Permission denied", "/x"), FAILED, "small: /x: Permission denied\n"),
        (BrokenPipeError(), PIPE_CLOSED, ""),
        (KeyboardInterrupt(), INTERRUPTED, ""),
    ],
)
def test_how_a_command_ends(failure: BaseException | None, code: int, complaint: str) -> None:
    """Each failure has its exit code, and at most one line."""
    assert ran(failure, "work") == (code, complaint)


@pytest.mark.parametrize(("words", "said"), [(("wrok",), False), (("--to", "x", "work"), True)])
def test_an_option_before_the_command(words: tuple[str, ...], said: bool) -> None:
    """What stands behind it is taken for the command: the sentence says where options stand."""
    code, complaint = ran(None, *words)
    assert (code, ": options stand behind the command; see" in complaint) == (FAILED, said)


def test_a_line_that_cannot_be_read() -> None:
    """It says where to read more."""
    code, complaint = ran(None, "wrok")
    assert code == FAILED
    assert complaint.startswith("small: ")
    assert complaint.endswith("see `small --help`\n")
