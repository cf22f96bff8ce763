"""The provider's API key, in a file of its own: read at the start, and again when he says so."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

MAX_KEY_BYTES: Final = 4096


class KeyUnusable(Exception):
    """There is no key to be had; the message says what to change, and nothing of what is in the file."""


class Keyed(Protocol):
    """A service that is asked with a key. `opentip.OpenTip` is it."""

    def use_key(self, key: str) -> bool:
        """Ask with this key from now on; whether it is another one. Raises ValueError, with a sentence."""


@dataclass(frozen=True, slots=True)
class Renewed:
    """What came of reading it again. asked_again: whether a service that was left alone no more is."""

    changed: bool
    asked_again: bool


class ApiKey:
    """The key of one service."""

    def __init__(self, path: Path | None, service: Keyed, ask_again: Callable[[bool], bool]) -> None:
        """path: None for a service that asks for none. ask_again: told whether the key is another one now;
        whether the service is asked again.
        """
        self._path = path
        self._service = service
        self._ask_again = ask_again

    async def renew(self) -> Renewed:
        """Read it again and have the service asked with it. Raises KeyUnusable; the old one then stays."""
        key = "" if self._path is None else await asyncio.to_thread(read_key, self._path)
        try:
            changed = self._service.use_key(key)
        except ValueError as error:
            raise KeyUnusable(f"ksn.api_key_file: {self._path}: {error}") from error
        return Renewed(changed, self._ask_again(changed))


def read_key(path: Path) -> str:
    """Return the API key in a file. Raises KeyUnusable."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_KEY_BYTES + 1)
        text = raw.decode()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", "") or "it is not UTF-8"
        raise KeyUnusable(f"ksn.api_key_file: {path} cannot be read: {why}") from error
    if len(raw) > MAX_KEY_BYTES:
        raise KeyUnusable(f"ksn.api_key_file: {path} is over {MAX_KEY_BYTES} bytes: is it the right file?")
    return text.strip()
