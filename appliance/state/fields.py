"""A record's fields as one of the domain's types: each of its kind and within its bounds, or refused.

That a record fits its checksum says that somebody wrote it, not that it was this program, or this version.
What is made here can be compared, put into a message and shown without another look.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from appliance.domain.guest import DEFAULT_TENANT_SCOPE
from appliance.domain.policy import is_tenant
from appliance.state.record import damaged

# Of the years 1 and 9999, where a Timestamp begins and ends, and dates.
FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799
_LAST_NUMBER, _NUMBER_BYTES = (1 << 64) - 1, 8
_LAST_SCOPE = (1 << 32) - 1
_NONE = type(None)

Made = TypeVar("Made")


@contextmanager
def meaning(path: Path, what: str) -> Iterator[None]:
    """Raise StateDamaged, which names the file, where what is done here with a record shows that it is none.

    what: "a token's record" and the like.
    """
    try:
        yield
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise damaged(path, f"{what} has no meaning: {type(error).__name__}: {error}") from error


def made_of(kind: Callable[..., Made], fields: Mapping[str, Any], **known: Any) -> Made:
    """Return a dataclass made of what a record says, and of what is known otherwise. For `meaning`.

    Bytes stand in a record as hexadecimal digits. A float is a time, and so is a number whose name ends with
    "at": seconds since the epoch. No other number is negative. What the dataclass has not is refused.
    """
    types = _types(kind)
    return kind(**{name: _value(name, types[name], said) for name, said in fields.items()}, **known)


def _value(name: str, wanted: Any, said: Any) -> Any:
    if wanted is bytes:
        return bytes.fromhex(said)
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        return wanted(said)
    if type(said) is not wanted and (wanted is not float or type(said) is not int):
        raise TypeError(f"{name} is a {type(said).__name__}, no {wanted.__name__}")
    if wanted is str:
        said.encode()  # what is no UTF-8 fits no message
    elif wanted is not bool and not _first(name, wanted) <= said <= _last(name, wanted):
        raise ValueError(f"{name} is out of its bounds")
    return said


def scope_of(fields: Mapping[str, Any]) -> int:
    """Return the scope of a tenant that a record names. For `meaning`."""
    scope = fields.get("scope")
    if type(scope) is not int or not DEFAULT_TENANT_SCOPE <= scope <= _LAST_SCOPE:
        raise ValueError("its scope is none of a tenant")
    return scope


def number_of(name: str, fields: Mapping[str, Any]) -> int:
    """Return a number that a record says, which is not negative. For `meaning`."""
    return int(_value(name, int, fields[name]))


def key_after(newest: bytes | memoryview, path: Path) -> bytes:
    """Return the key of the next entry of a table that is numbered from 1, as u64 big endian.

    newest: the key of the last one, b"" for none. Raises StateDamaged.
    """
    number = int.from_bytes(newest, "big") + 1
    if len(newest) not in (0, _NUMBER_BYTES) or number > _LAST_NUMBER:
        raise damaged(path, f"the last entry of a table has the number {bytes(newest).hex()}")
    return number.to_bytes(_NUMBER_BYTES, "big")


def numbered(key: bytes, path: Path) -> bytes:
    """Return the key of an entry of such a table, or raise StateDamaged where it is no number."""
    if len(key) != _NUMBER_BYTES:
        raise damaged(path, f"an entry of a table has the number {key[:32].hex()}")
    return key


def tenant_of(key: bytes | memoryview) -> str:
    """Return the name of the tenant that a record is of, by its key. For `meaning`."""
    name = bytes(key).decode()
    check_tenant(name)
    return name


def check_tenant(name: str) -> None:
    """Raise ValueError where this is no name that a tenant can have. For `meaning`."""
    if not is_tenant(name):
        raise ValueError(f"{name!r} is no tenant's name")


def _first(name: str, wanted: type) -> int:
    return FIRST_SECOND if _is_time(name, wanted) else 0


def _is_time(name: str, wanted: type) -> bool:
    return wanted is float or name == "at" or name.endswith("_at")


def _last(name: str, wanted: type) -> int:
    return LAST_SECOND if _is_time(name, wanted) else _LAST_NUMBER


@cache
def _types(kind: Any) -> dict[str, Any]:
    """The type of each field; of one that may be absent the type that it has otherwise."""
    return {name: _present(hint) for name, hint in get_type_hints(kind).items()}


def _present(hint: Any) -> Any:
    if get_origin(hint) is not UnionType:
        return hint
    return next(each for each in get_args(hint) if each is not _NONE)
