"""What commands print with."""

import argparse
import io
import json

import pytest

from appliance.cli.console import CommandError, Console, add_socket_arguments, exit_codes, pairs, plain, table
from tests.support.ksn_side_server import Terminal


def test_tables_align_and_numbers_stand_to_the_right() -> None:
    """Columns are as wide as their widest cell; thousands are parted."""
    assert table(("name", "count", "why"), [("a", 1234567, "x"), ("long name", 5, "")]) == [
        "name           count  why",
        "a          1,234,567  x",
        "long name          5",
    ]


def test_a_table_without_rows_is_its_head() -> None:
    """Nothing to show is no error."""
    assert table(("a", "b"), []) == ["a  b"]


def test_words_of_guests_cannot_steer_a_terminal() -> None:
    """Escape sequences, line ends and letters that turn the direction become question marks."""
    assert plain("a\x1b[2Jb\nc\u202ed\udc80é") == "a?[2Jb?c?d?é"
    assert pairs([("name", "\x07")]) == ["name  ?"]
    assert table(("name",), [("\r",)]) == ["name", "?"]


def test_what_is_said_steers_no_terminal() -> None:
    """Lines stay lines, whoever's words they are."""
    out = io.StringIO()
    Console({}, out, io.StringIO(), lambda: 0.0).say("engine x:\x1b[2J\r gone", "two\nlines")
    assert out.getvalue() == "engine x:?[2J? gone\ntwo\nlines\n"


def test_complaints_are_one_line() -> None:
    """A message with line ends, from wherever, is one line on stderr."""
    err = io.StringIO()
    Console({}, io.StringIO(), err, lambda: 0).complain("first\nsecond")
    assert err.getvalue() == "svm: first?second\n"


@pytest.mark.parametrize("values", [[], [{}], [{"a": [1, "x\ny"]}, 2, "\x1b"]])
def test_a_list_that_comes_piece_by_piece_is_printed_as_if_it_were_whole(values: list[object]) -> None:
    """Line ends and controls in it stay escaped."""
    out = io.StringIO()
    Console({}, out, io.StringIO(), lambda: 0).say_json_list(iter(values))
    assert out.getvalue() == json.dumps(values, indent=2) + "\n"


def test_exit_codes_that_do_not_occur_are_not_listed() -> None:
    """The help of a command lists 1 only where it means something."""
    assert "\n  1  " not in exit_codes()
    assert "\n  1  nothing found\n" in exit_codes("nothing found")


def test_the_socket_of_the_arguments_is_used() -> None:
    """--socket names the SVM that is asked."""
    parser = argparse.ArgumentParser()
    add_socket_arguments(parser)
    console = Console({}, io.StringIO(), io.StringIO(), lambda: 0)
    assert str(console.client(parser.parse_args(["--socket", "/x.sock"]))) == "/x.sock"


@pytest.mark.parametrize(
    ("arguments", "environ", "where"),
    [
        (["--server", "svm:7445", "--identity", "/i"], {}, "svm:7445"),
        ([], {"KVMLA_ADMIN_SERVER": "svm:7445", "KVMLA_ADMIN_IDENTITY": "/i"}, "svm:7445"),
        (
            ["--server", "other:1"],
            {"KVMLA_ADMIN_SERVER": "svm:7445", "KVMLA_ADMIN_IDENTITY": "/i"},
            "other:1",
        ),
        (["--socket", "/x.sock"], {"KVMLA_ADMIN_SERVER": "svm:7445"}, "/x.sock"),
    ],
)
def test_an_svm_on_another_machine_is_named(
    arguments: list[str], environ: dict[str, str], where: str
) -> None:
    """By an argument or the environment; a socket that is named wins over the latter."""
    parser = argparse.ArgumentParser()
    add_socket_arguments(parser)
    console = Console(environ, io.StringIO(), io.StringIO(), lambda: 0)
    assert str(console.client(parser.parse_args(arguments))) == where


@pytest.mark.parametrize("more", [[], ["--identity", "/i", "--socket", "/x"]])
def test_another_machine_needs_a_certificate_and_no_socket(more: list[str]) -> None:
    """The sentence says what to give."""
    parser = argparse.ArgumentParser()
    add_socket_arguments(parser)
    console = Console({}, io.StringIO(), io.StringIO(), lambda: 0)
    with pytest.raises(CommandError, match="needs --identity DIR, and no --socket"):
        console.client(parser.parse_args(["--server", "svm:7445", *more]))


def test_a_person_is_asked_on_a_terminal_alone() -> None:
    """Where the output or the input is a file, nobody reads the question, or nobody answers it."""
    out, typed, file = Terminal(), Terminal(" yes \n"), io.StringIO()
    assert Console({}, out, file, lambda: 0, typed).talks()
    assert not Console({}, out, file, lambda: 0, file).talks()
    assert not Console({}, file, file, lambda: 0, typed).talks()


def test_an_answer_is_a_line_and_its_end_is_no_answer() -> None:
    """Blanks around it do not count; after the last line comes EOFError, and the prompt's line is ended."""
    out = Terminal()
    console = Console({}, out, io.StringIO(), lambda: 0, Terminal(" yes \n\n"))
    assert [console.ask("sure?"), console.ask("sure?")] == ["yes", ""]
    with pytest.raises(EOFError):
        console.ask("sure?")
    assert out.getvalue() == "sure? sure? sure? \n"
