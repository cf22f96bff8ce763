"""Tests of the words of `guest-stub quarantine`."""

import pytest

from guest_stub.cli.arguments import parse


def test_each_of_its_commands() -> None:
    """Their words end up where they are looked for; none needs an SVM."""
    listing = parse(["quarantine", "list", "--json"])
    assert (listing.command, listing.todo, listing.json, listing.svm) == ("quarantine", "list", True, None)
    restore = parse(["quarantine", "restore", "abc", "--to", "/x"])
    assert (restore.id, restore.to) == ("abc", "/x")
    assert parse(["quarantine", "delete", "a", "b"]).ids == ["a", "b"]
    assert parse(["quarantine", "delete", "--all"]).all
    export = parse(["quarantine", "export", "abc", "file", "--raw"])
    assert (export.id, export.file, export.raw) == ("abc", "file", True)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["delete"],
        ["delete", "a", "--all"],
        ["restore"],
        ["restore", "a", "b"],
        ["export", "a"],
        ["empty"],
    ],
)
def test_mistakes_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """With the code of a mistake, and with what would be right."""
    with pytest.raises(SystemExit) as ended:
        parse(["quarantine", *words])
    assert ended.value.code == 2
    assert "usage: guest-stub" in capsys.readouterr().err


def test_help_has_examples_and_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """As the other commands do."""
    with pytest.raises(SystemExit):
        parse(["quarantine", "--help"])
    told = capsys.readouterr().out
    assert "exit codes:" in told
    assert 'the password is "infected"' in told
