"""A file of settings as any program of the appliance reads it. The settings of `svm` are in test_config."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.config_file import MAX_CONFIG_BYTES, ConfigError, read_file
from appliance.config_reading import Problem


@dataclass(frozen=True, slots=True)
class Two:
    """Two settings."""

    low: int = 1
    high: int = 2


def across(two: Two) -> list[Problem]:
    """What is wrong between the two."""
    return [] if two.low < two.high else [Problem(("low",), "low: must be below high")]


def problems(tmp_path: Path, content: bytes) -> tuple[str, ...]:
    """What is wrong with a file of that content."""
    (tmp_path / "f.toml").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_file(tmp_path / "f.toml", Two, across)
    return tuple(problem.removeprefix(f"{tmp_path}/") for problem in caught.value.problems)


def test_what_is_right_is_read(tmp_path: Path) -> None:
    """What is not in the file has its default."""
    (tmp_path / "f.toml").write_text("high = 9\n")
    assert read_file(tmp_path / "f.toml", Two, across) == Two(1, 9)


def test_all_that_is_wrong_is_told_at_its_line(tmp_path: Path) -> None:
    """One round of mending is enough."""
    assert problems(tmp_path, b'low = "x"\nhihg = 3\n') == (
        'f.toml:1: low: must be a whole number, is "x"',
        "f.toml:2: hihg: no such setting; did you mean high?",
    )


def test_settings_that_are_wrong_together(tmp_path: Path) -> None:
    """They are told at the line of one of them."""
    assert problems(tmp_path, b"high = 9\nlow = 10\n") == ("f.toml:2: low: must be below high",)


def test_what_is_no_settings_file(tmp_path: Path) -> None:
    """A size, a coding, a file that is not there: each has its sentence."""
    assert "over 256 KiB" in problems(tmp_path, b"#" * (MAX_CONFIG_BYTES + 1))[0]
    assert problems(tmp_path, b"\n\xff") == ("f.toml:2: not UTF-8; save the file as UTF-8",)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_file(tmp_path / "none.toml", Two, across)


def test_the_message_has_all_or_says_who_has() -> None:
    """Where no command lists the problems, the message does."""
    assert str(ConfigError(["a", "b", "c"])) == "a; b; c"
    assert str(ConfigError(["a", "b", "c"], check="p check")) == "a (and 2 more: see `p check`)"
