"""From a TOML table to a dataclass, held to the dataclass's annotations."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from appliance.config_forms import AbsolutePath, PathOrNothing, Range
from appliance.config_reading import Problem, read_table


@dataclass(frozen=True)
class Inner:
    """A table within."""

    size: Annotated[int, Range(1, 9)] = 3
    places: Annotated[tuple[Path, ...], AbsolutePath()] = ()
    maybe: Annotated[Path | None, PathOrNothing()] = None


@dataclass(frozen=True)
class Outer:
    """A table."""

    name: str = "x"
    inner: Inner = field(default_factory=Inner)


def test_what_is_given_is_taken_and_the_rest_defaults() -> None:
    """Nested tables and lists are turned into the annotated types."""
    problems: list[Problem] = []
    read = read_table(Outer, {"inner": {"places": ["/a"]}}, (), problems)
    assert read == Outer(inner=Inner(places=(Path("/a"),)))
    assert problems == []


def test_an_empty_text_is_no_path() -> None:
    """Where a path may be left out, "" says so, and everything else is held to the form of a path."""
    problems: list[Problem] = []
    assert read_table(Inner, {"maybe": ""}, (), problems) == Inner(maybe=None)
    assert read_table(Inner, {"maybe": "/a"}, (), problems) == Inner(maybe=Path("/a"))
    assert problems == []
    read_table(Inner, {"maybe": "a"}, (), problems)
    read_table(Inner, {"maybe": 5}, (), problems)
    assert [problem.sentence for problem in problems] == [
        "maybe: 'a' is not an absolute path: begin it with /",
        "maybe: must be a path in quotes, is 5",
    ]


def test_problems_carry_the_key_they_are_about() -> None:
    """Each problem names its setting; reading goes on behind it, with the default in its place."""
    problems: list[Problem] = []
    table = {"name": 1, "inner": {"size": 10, "places": ["/a", "b"], "siez": 1}}
    assert read_table(Outer, table, ("top",), problems) == Outer()
    assert [problem.key for problem in problems] == [
        ("top", "name"),
        ("top", "inner", "size"),
        ("top", "inner", "places"),
        ("top", "inner", "siez"),
    ]
    assert problems[0].sentence == "top.name: must be a string in quotes, is 1"


def test_long_values_are_cut_in_messages() -> None:
    """A value of any length makes a message of one line."""
    problems: list[Problem] = []
    read_table(Outer, {"inner": "y" * 5000}, (), problems)
    assert len(problems[0].sentence) < 120
