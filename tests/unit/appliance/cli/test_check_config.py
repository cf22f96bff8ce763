"""svm check-config."""

from pathlib import Path

import appliance
from tests.support.commands import svm

EXAMPLE = Path(appliance.__path__[0]) / "svm.example.toml"


def test_good_settings_can_be_used() -> None:
    """The shipped example passes."""
    ran = svm("check-config", EXAMPLE)
    assert (ran.code, ran.out, ran.err) == (0, f"{EXAMPLE}: can be used\n", "")


def test_without_a_file_the_variable_and_then_the_defaults_are_checked() -> None:
    """The command says what it checked."""
    assert svm("check-config", environ={"KVMLA_CONFIG": str(EXAMPLE)}).out == f"{EXAMPLE}: can be used\n"
    assert svm("check-config").out == "the embedded defaults: can be used\n"


def test_every_problem_is_told_with_its_line(tmp_path: Path) -> None:
    """A typo and a value out of range: one line each, exit code 1."""
    path = tmp_path / "svm.toml"
    path.write_text("[limits]\nmax_bach = 5\nscan_streams = 0\n")
    ran = svm("check-config", path)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines() == [
        f"svm: {path}:2: limits.max_bach: no such setting; did you mean max_batch?",
        f"svm: {path}:3: limits.scan_streams: 0 is out of range: give 1 to 64",
    ]


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A missing file is no traceback."""
    ran = svm("check-config", tmp_path / "none.toml")
    assert ran.code == 1
    assert "none.toml: cannot be read: No such file or directory" in ran.err


def test_json_shows_the_settings_in_force() -> None:
    """--json prints every setting with the value that counts."""
    shown = svm("check-config", "--json", environ={"KVMLA_STATE_DIR": "/srv/svm"}).json
    assert shown["server"]["state_dir"] == "/srv/svm"
    assert shown["limits"]["max_batch"] == 1024
    assert shown["engines"]["yara"]["rules_dirs"] == []
