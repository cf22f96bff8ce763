"""svm signatures list|reload over real gRPC, and test in a real sandbox."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.scanning.result import SignatureSource
from tests.support.admin_side_server import AdminSide, admin_side
from tests.support.commands import svm

GOOD = SignatureSource("yara", "/srv/rules/good.yar", 1200)
BAD = SignatureSource("yara", "/srv/rules/bad.yar", 3, ("/srv/rules/bad.yar:7: unknown identifier `x\x1b`",))

RULE = 'rule good { strings: $a = "0123456789abcdef" condition: $a }\n'
BROKEN = "rule bad { condition: no_such_thing }\n"


@pytest.fixture
def side(tmp_path: Path) -> Iterator[AdminSide]:
    """An SVM with one source of signatures."""
    with admin_side(tmp_path) as running:
        running.control.loaded = [GOOD]
        yield running


def test_list_shows_each_source(side: AdminSide) -> None:
    """The engine, how many, the file; 0 when nothing is wrong."""
    ran = svm("signatures", "list", "--socket", side.path)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "generation 00000000000000ab",
        "",
        "engine  signatures  problems  file",
        "yara         1,200         0  /srv/rules/good.yar",
        "",
        "1,200 signatures in 1 file",
    ]


def test_list_shows_problems_by_file_and_line(side: AdminSide) -> None:
    """A bad rule is told, and shows in the exit code."""
    side.control.loaded = [GOOD, BAD]
    ran = svm("signatures", "list", "--socket", side.path)
    assert ran.code == 1
    assert ran.out.splitlines()[-2:] == [
        "1,203 signatures in 2 files",
        "/srv/rules/bad.yar:7: unknown identifier `x?`",
    ]
    shown = svm("signatures", "list", "--json", "--socket", side.path).json
    assert shown["generation"] == "00000000000000ab"
    assert shown["sources"][1]["problems"] == list(BAD.problems)


def test_an_svm_without_signatures_says_so(side: AdminSide) -> None:
    """Nothing to list is no error."""
    side.control.loaded = []
    assert svm("signatures", "list", "--socket", side.path).out.endswith("no signatures\n")


def test_reload_tells_both_generations(side: AdminSide) -> None:
    """Whoever reloads sees whether anything changed."""
    ran = svm("signatures", "reload", "--socket", side.path)
    assert ran.code == 0
    assert ran.out.startswith("generation 00000000000000ab -> 00000000000000ac\n")
    shown = svm("signatures", "reload", "--json", "--socket", side.path).json
    assert (shown["generation_before"], shown["generation"]) == ("00000000000000ab", "00000000000000ac")


def test_a_reload_that_fails_is_told(side: AdminSide) -> None:
    """The SVM's own sentence, exit code 2."""
    side.control.refusal = "no rule could be loaded: the old signatures stay in use"
    ran = svm("signatures", "reload", "--socket", side.path)
    assert (ran.code, ran.out, ran.err) == (2, "", f"svm: {side.control.refusal}\n")


def test_an_svm_that_goes_away_in_the_middle_is_told(side: AdminSide) -> None:
    """The SVM ended while it was asked: one line, exit code 2."""
    side.control.during_reload = side.vanish
    ran = svm("signatures", "reload", "--socket", side.path)
    assert (ran.code, ran.out) == (2, "")
    why = "went away, is stopping, or has no room for more: see its log, ask again"
    assert ran.err == f"svm: the SVM on {side.path} {why}\n"


def test_a_directory_is_tried_without_an_svm(tmp_path: Path) -> None:
    """Rules and lists of a directory are read; one that is bad is told by file and line."""
    (tmp_path / "good.yar").write_text(RULE)
    (tmp_path / "bad.yar").write_text(f"\n\n{BROKEN}")
    (tmp_path / "list.hsb").write_text(f"{'ab' * 32}:*:Some.Name\n")
    ran = svm("signatures", "test", tmp_path)
    assert (ran.code, ran.err) == (1, "")
    assert f"hashlist           1         0  {tmp_path}/list.hsb" in ran.out
    assert f"\n{tmp_path}/bad.yar:3: " in ran.out
    shown = svm("signatures", "test", "--json", tmp_path / "good.yar").json
    assert shown["sources"] == [
        {"engine": "yara", "path": f"{tmp_path}/good.yar", "signatures": 1, "problems": []}
    ]


def test_a_path_without_signatures_is_told(tmp_path: Path) -> None:
    """An empty directory, and a file of another kind, are not taken for fine."""
    (tmp_path / "notes.md").write_text("x")
    ran = svm("signatures", "test", tmp_path / "notes.md")
    assert ran.code == 1
    assert f"{tmp_path}/notes.md: no signatures: rules end in .yar or .yara" in ran.out


def test_a_missing_path_is_told(tmp_path: Path) -> None:
    """One line, exit code 2."""
    ran = svm("signatures", "test", tmp_path / "none")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"svm: {tmp_path}/none: no such file or directory")


def test_without_a_path_the_settings_are_tried(tmp_path: Path) -> None:
    """What the settings name is read, the shipped signatures included, and clamd is not asked."""
    (tmp_path / "bad.yar").write_text(BROKEN)
    config = tmp_path / "svm.toml"
    config.write_text(
        f'[engines.yara]\nrules_dirs = ["{tmp_path}"]\n'
        '[engines.clamd]\nenabled = true\nsocket = "/no/such/clamd"\n'
    )
    shown = svm("signatures", "test", "--config", config, "--json").json
    problems = {source["path"]: source["problems"] for source in shown["sources"]}
    assert len(problems) > 2
    [path] = [path for path, found in problems.items() if found]
    assert path == f"{tmp_path}/bad.yar"


def test_the_shipped_signatures_are_sound() -> None:
    """With the embedded defaults nothing is wrong."""
    assert svm("signatures", "test").code == 0
