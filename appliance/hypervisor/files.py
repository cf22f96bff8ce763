"""Small files of the host agent's state: whole or not there, on the disk before anybody counts on them."""

import os
from pathlib import Path


class StateUnusable(Exception):
    """The state directory cannot be used. The message says why and what to do."""


def write_durably(path: Path, text: str) -> None:
    """Write a file in one step, of root alone; its directory is made. Raises StateUnusable."""
    new = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(fd)
        new.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise _unusable(path, error) from error


def remove_durably(path: Path) -> None:
    """Remove a file, if it is there. Raises StateUnusable."""
    try:
        path.unlink(missing_ok=True)
        _sync(path.parent)
    except OSError as error:
        raise _unusable(path, error) from error


def read_bounded(path: Path, most: int) -> str | None:
    """What a file has, None where there is none. Raises StateUnusable for more than `most` bytes."""
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise StateUnusable(f"{path} is longer than {most} bytes: svm-host has not written it; remove it")
        return data.decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise StateUnusable(f"{path} is no text: svm-host has not written it; remove it") from error
    except OSError as error:
        raise _unusable(path, error) from error


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _unusable(path: Path, error: OSError) -> StateUnusable:
    return StateUnusable(f"{path}: {error.strerror or error}; see that svm-host may write there, and of room")
