"""Commands of `private-ksn`, as a person types them."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.private_ksn.console import Console
from appliance.private_ksn.program import run
from tests.support.private_ksn import NOON

ROOT = Path(__file__).parents[4]
SHA256 = "ab" * 32

Ran = tuple[int, str, str]


@pytest.fixture
def ksn(tmp_path: Path) -> Callable[..., Ran]:
    """Return a function that runs a command on a store of its own: exit code, output, errors."""

    def ran(command: str, *arguments: object) -> Ran:
        out, err = io.StringIO(), io.StringIO()
        words = [command, *map(str, arguments), "--data", str(tmp_path / "data")]
        return run(words, Console(out, err, lambda: NOON)), out.getvalue(), err.getvalue()

    return ran


def test_import_show_list_stats_drop(ksn: Callable[..., Ran], tmp_path: Path) -> None:
    """From a list to what is known of it, and back to nothing."""
    (tmp_path / "l").write_text(f"{SHA256} Evil\n?\n")
    code, out, err = ksn("import", "plain", tmp_path / "l", "--zone", "red", "--feed", "ours")
    assert (code, out) == (0, "ours: 1 entries, 1 keys, 1 zones changed, 1 bad\n")
    assert err.startswith("private-ksn: line 2: '?' is no digest")
    assert err.endswith("\nprivate-ksn: 1 were not taken\n")
    code, out, _ = ksn("show", SHA256, "--json")
    assert (code, json.loads(out)["words"][0]["threat"]) == (0, "Evil")
    assert ksn("list", "--feed", "ours") == (0, f"{SHA256}\n", "")
    assert json.loads(ksn("stats", "--json")[1])["feeds"]["ours"]["entries"] == 1
    assert ksn("drop", "ours")[0] == 0
    assert ksn("drop", "ours")[0] == 1
    assert ksn("show", SHA256)[:2] == (1, f"{SHA256}: nothing is known\n")


def test_bad_lines_are_named_and_written(ksn: Callable[..., Ran], tmp_path: Path) -> None:
    """The first twenty with number and why, all of them in a file that is named; also when none is good."""
    (tmp_path / "l").write_text(f"{SHA256}\n" + "?\n" * 30)
    code, _, err = ksn("import", "plain", tmp_path / "l", "--zone", "red")
    lines = err.splitlines()
    assert (code, len(lines)) == (0, 21)
    assert lines[19].startswith("private-ksn: line 21: '?' is no digest")
    assert lines[20] == (
        "private-ksn: 30 were not taken; the first 20 are named above, and --bad-lines FILE names 10,000"
    )
    words = ("--zone", "red", "--bad-lines", tmp_path / "bad")
    err = ksn("import", "plain", tmp_path / "l", *words)[2]
    assert err.endswith(f"30 were not taken; {tmp_path}/bad names the first 30\n")
    assert len((tmp_path / "bad").read_text().splitlines()) == 30
    (tmp_path / "l").write_text("?\n" * 5)
    code, _, err = ksn("import", "plain", tmp_path / "l", *words)
    assert (code, len(err.splitlines())) == (2, 7)
    assert len((tmp_path / "bad").read_text().splitlines()) == 5


def test_an_empty_file_does_not_empty_a_feed(ksn: Callable[..., Ran], tmp_path: Path) -> None:
    """Unless that is said in as many words."""
    (tmp_path / "l").write_text(SHA256)
    (tmp_path / "empty").write_text("# nothing yet\n")
    words = ("--zone", "red", "--feed", "x")
    assert ksn("import", "plain", tmp_path / "l", *words)[0] == 0
    code, _, err = ksn("import", "plain", tmp_path / "empty", *words)
    assert (code, err.count("\n")) == (2, 1)
    assert "--allow-empty" in err
    assert ksn("show", SHA256)[0] == 0
    assert ksn("import", "plain", tmp_path / "empty", *words, "--allow-empty")[0] == 0
    assert ksn("show", SHA256)[0] == 1


def test_the_operators_word(ksn: Callable[..., Ran]) -> None:
    """Set, listed, cleared; orange is for addresses."""
    assert ksn("set", "bad.example", "--zone", "orange", "--category", "phishing")[0] == 0
    assert "bad.example  Orange  -       phishing" in ksn("list")[1]
    assert ksn("set", "bad.example", "--clear")[0] == 0
    assert ksn("set", "bad.example", "--clear")[0] == 1
    code, _, err = ksn("set", SHA256, "--zone", "orange")
    assert (code, err.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("import", "plain", "/dev/null"), "give --zone"),
        (("import", "plain", "/nowhere/x", "--zone", "red"), "No such file"),
        (("import", "odd", "x"), "invalid choice"),
        (("import", "plain", "/dev/null", "--zone", "red"), "is no regular file"),
        (("import", "plain", __file__, "--zone", "red", "--bad-lines", "/nowhere/x"), "/nowhere/x: No such"),
        (("set", "?", "--zone", "red"), "is no digest"),
        (("show", SHA256), "is not there"),
        (("stats", "--config", "/nowhere/x"), "is not there"),
    ],
)
def test_what_a_person_does_wrong_is_one_line(
    ksn: Callable[..., Ran], words: tuple[str, ...], said: str
) -> None:
    """On stderr, with exit code 2."""
    code, out, err = ksn(*words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_serving_without_keys_begins_no_store(tmp_path: Path) -> None:
    """It says what is missing, and later commands still say that nothing was imported."""
    keys, data = tmp_path / "keys", tmp_path / "data"
    (tmp_path / "c.toml").write_text(f'[server]\nkeys_file = "{keys}"\ndata_dir = "{data}"\n')
    out, err = io.StringIO(), io.StringIO()
    assert run(["serve", "--config", str(tmp_path / "c.toml")], Console(out, err, lambda: NOON)) == 2
    assert f"{keys}: cannot be read" in err.getvalue()
    assert not data.exists()


def test_a_key_comes_with_its_line() -> None:
    """The key is shown once; a name that would break the file is refused."""
    out, err = io.StringIO(), io.StringIO()
    assert run(["key", "svm-1"], Console(out, err, lambda: NOON)) == 0
    assert "line: svm-1 " in out.getvalue()
    assert run(["key", "a b"], Console(out, err, lambda: NOON)) == 2


def test_the_man_page_has_every_command_and_option() -> None:
    """docs/man/private-ksn.1 is written by hand: it names what --help names."""
    page = (ROOT / "docs" / "man" / "private-ksn.1").read_text().replace("\\-", "-")
    words = ["serve", "import", "set", "show", "list", "drop", "stats", "key"]
    options = [
        "--config",
        "--data",
        "--feed",
        "--zone",
        "--threat",
        "--category",
        "--clear",
        "--limit",
        "--json",
        "--bad-lines",
        "--allow-empty",
        "--version",
    ]
    assert [word for word in words + options if word not in page] == []
