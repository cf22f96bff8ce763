"""svm ksn statement show."""

from pathlib import Path

import pytest

from appliance.domain.policy import KsnType
from appliance.ksn.statement import statement, version_in_force
from tests.support.commands import Ran, svm
from tests.support.ksn_side_server import ksn_side


def show(*arguments: object) -> Ran:
    """Run `svm ksn statement show`."""
    return svm("ksn", "statement", "show", *arguments)


def config(directory: Path, *lines: str) -> Path:
    """A settings file with these lines for KSN."""
    path = directory / "svm.toml"
    path.write_text("\n".join(("[ksn]", *lines, "")))
    return path


def test_the_statement_in_force_is_printed_to_the_letter() -> None:
    """Without an SVM; its SHA-256 is the one that a decision is about."""
    ran = show()
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == statement(KsnType.GLOBAL, version_in_force(KsnType.GLOBAL)).text


def test_the_type_is_that_of_the_settings_or_the_one_that_is_named(tmp_path: Path) -> None:
    """--type wins."""
    private = config(tmp_path, 'type = "private"')
    assert show("--config", private).out == statement(KsnType.PRIVATE, 1).text
    assert show("--config", private, "--type", "global").out == statement(KsnType.GLOBAL, 1).text


def test_the_providers_own_text_stands_below_the_type_that_he_has_set(tmp_path: Path) -> None:
    """It says nothing of the other type."""
    addition = tmp_path / "ours.txt"
    addition.write_text("We are Example Ltd.")
    ours = config(tmp_path, f'statement_addition_file = "{addition}"')
    text = statement(KsnType.GLOBAL, 1).text
    assert show("--config", ours).out == f"{text}\nFrom the provider:\nWe are Example Ltd.\n"
    assert show("--config", ours, "--type", "private").out == statement(KsnType.PRIVATE, 1).text


def test_a_version_that_there_is_not_is_told() -> None:
    """With those that there are."""
    ran = show("--version", "99")
    assert (ran.code, ran.out) == (2, "")
    assert "there is no version 99 of the global Statement: there is 1" in ran.err


def test_a_providers_text_that_cannot_be_shown_is_told(tmp_path: Path) -> None:
    """Not there, not UTF-8, or longer than anybody reads: one line, and no Statement without it."""
    addition = tmp_path / "ours.txt"
    ours = config(tmp_path, f'statement_addition_file = "{addition}"')
    for content, said in ((None, "No such file"), (b"\xff", "not UTF-8"), (b"a" * 300_000, "over 256 KiB")):
        if content is not None:
            addition.write_bytes(content)
        ran = show("--config", ours)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith(f"svm: {addition}: ")
        assert said in ran.err


def test_what_somebody_decided_on_is_printed_to_the_letter(tmp_path: Path) -> None:
    """As the SVM has kept it, by the first digits of its SHA-256 in either case."""
    with ksn_side(tmp_path) as side:
        side.ksn.text = "What leaves: nothing.\n\nFrom the provider:\nTruly.\n"
        ran = show("--text", "C0FFEE00", "--socket", side.path)
        assert (ran.code, ran.out, ran.err) == (0, side.ksn.text, "")
        assert side.ksn.asked == [("text", "c0ffee00")]


def test_a_text_that_nobody_decided_on_is_told(tmp_path: Path) -> None:
    """With exit code 1, and where to look; one that is named by too little is refused."""
    with ksn_side(tmp_path) as side:
        ran = show("--text", "c0ffee00", "--socket", side.path)
        assert (ran.code, ran.out) == (1, "")
        assert "nobody has decided on a text whose SHA-256 begins with c0ffee00: see `svm policy" in ran.err
        side.ksn.refusal = "several texts begin so"
        ran = show("--text", "c0ffee00", "--socket", side.path)
        assert (ran.code, ran.err) == (2, "svm: several texts begin so\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("c0ffee0",), "--text is 'c0ffee0': give the first 8 to 64 hexadecimal digits of a SHA-256"),
        (("c0ffee0g",), "--text is 'c0ffee0g'"),
        (("c0ffee00", "--version", "1"), "give it without --type and --version"),
        (("c0ffee00", "--type", "global"), "give it without --type and --version"),
    ],
)
def test_a_text_is_named_by_its_digest_alone(arguments: tuple[str, ...], said: str) -> None:
    """Nobody is asked about what names none, or two."""
    ran = show("--text", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
