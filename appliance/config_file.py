"""A file of settings: read within a bound, and held to a dataclass, with every problem at its line."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from appliance.config_lines import lines_of, syntax_problem
from appliance.config_reading import Problem, read_table

MAX_CONFIG_BYTES = 256 * 1024

T = TypeVar("T")


class ConfigError(Exception):
    """The settings cannot be used. `problems`: one sentence each, "file:line: what, and what is allowed"."""

    def __init__(self, problems: list[str], check: str = "") -> None:
        """Keep all problems. The message is all of them; with `check`, which lists them, the first."""
        shown = problems[:1] if check else problems
        more = f" (and {len(problems) - 1} more: see `{check}`)" if len(problems) > len(shown) else ""
        super().__init__("; ".join(shown) + more)
        self.problems = tuple(problems)


def read_file(path: Path, cls: type[T], across: Callable[[T], list[Problem]]) -> T:
    """Return the settings of a file, or raise ConfigError with every problem that was found.

    cls: the dataclass that they make. across: what is wrong between settings that are right by themselves.
    """
    return _parse(_read(path), path, cls, across)


def _read(path: Path) -> str:
    """Return the file's text, or raise ConfigError."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        why = f"{path}: cannot be read: {error.strerror}; give the path of a TOML file that you may read"
        raise ConfigError([why]) from error
    if len(raw) > MAX_CONFIG_BYTES:
        raise ConfigError([f"{path}: over {MAX_CONFIG_BYTES // 1024} KiB, which is no settings file"])
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}:{line}: not UTF-8; save the file as UTF-8"]) from error


def _parse(text: str, path: Path, cls: type[T], across: Callable[[T], list[Problem]]) -> T:
    """Return the settings that the text gives, or raise ConfigError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([syntax_problem(str(error), text, path)]) from error
    except (ValueError, RecursionError) as error:  # thousands of digits, or of brackets in brackets
        raise ConfigError([f"{path}: holds a number or a nesting longer than any setting"]) from error
    problems: list[Problem] = []
    settings = read_table(cls, document, (), problems)
    if not problems:
        problems = across(settings)
    if not problems:
        return settings
    lines = lines_of(text)
    placed = sorted(
        (lines.get(problem.key) or lines.get(problem.other, 0), problem.sentence) for problem in problems
    )
    raise ConfigError([f"{path}:{line}: {what}" if line else f"{path}: {what}" for line, what in placed])
