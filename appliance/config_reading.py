"""From a parsed TOML table to a frozen dataclass, held to the dataclass's annotations.

Every problem is gathered, with the key it is about, so that an operator mends a file in one round.
"""

import json
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from appliance.config_lines import Key

T = TypeVar("T")

# What each type is called, in the words of TOML, and which of Python's types tomllib may give for it.
_TYPES: dict[Any, tuple[str, tuple[type, ...]]] = {
    bool: ("true or false", (bool,)),
    int: ("a whole number", (int,)),
    float: ("a number", (int, float)),
    str: ("a string in quotes", (str,)),
    Path: ("a path in quotes", (str,)),
    Path | None: ("a path in quotes", (str,)),  # TOML has no word for nothing: "" is
}


class Problem(NamedTuple):
    """A sentence about the setting that `key` names, or `other` where the file does not have `key`."""

    key: Key
    sentence: str
    other: Key = ()


def read_table(cls: type[T], table: dict[str, Any], prefix: Key, problems: list[Problem]) -> T:
    """Return `cls` filled from the table, with defaults for what is not in it.

    prefix: the table's own name. What is wrong is appended to `problems`, and its default is kept.
    """
    hints = get_type_hints(cls, include_extras=True)
    known = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for name, value in table.items():
        key = (*prefix, name)
        if name not in known:
            problems.append(Problem(key, f"{_dotted(key)}: no such setting; {_hint(name, known)}"))
            continue
        try:
            values[name] = _convert(hints[name], value, key, problems)
        except ValueError as error:
            problems.append(Problem(key, f"{_dotted(key)}: {error}"))
    return cls(**values)


def _convert(hint: Any, value: Any, key: Key, problems: list[Problem]) -> Any:
    """Return the value in the type that the annotation asks for, or raise ValueError with a sentence."""
    if is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, dict):
            raise ValueError(f"must be a table, is {_shown(value)}")
        return read_table(hint, value, key, problems)
    base, forms = (get_args(hint)[0], get_args(hint)[1:]) if get_origin(hint) is Annotated else (hint, ())
    if get_origin(base) is tuple:
        if not isinstance(value, list):
            raise ValueError(f"must be a list in brackets, is {_shown(value)}")
        return tuple(_single(get_args(base)[0], forms, item) for item in value)
    return _single(base, forms, value)


def _single(base: Any, forms: tuple[Any, ...], value: Any) -> Any:
    """Return one plain value, checked against its forms, or raise ValueError."""
    called, allowed = _TYPES[base]
    if not isinstance(value, allowed) or (isinstance(value, bool) and base is not bool):
        raise ValueError(f"must be {called}, is {_shown(value)}")
    for form in forms:
        if wrong := form.problem(value):
            raise ValueError(wrong)
    if base == Path | None:
        return Path(str(value)) if value else None
    return base(value)


def _hint(name: str, known: list[str]) -> str:
    """Say what was probably meant, or what there is."""
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"


def _dotted(key: Key) -> str:
    return ".".join(key)


def _shown(value: Any) -> str:
    """Return the value as a short text, written as TOML would have it."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
