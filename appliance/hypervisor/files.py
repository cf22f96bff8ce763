"""Small files of the host agent's state: whole or not there, on the disk before anybody counts on them."""

from pathlib import Path

from appliance.durable import sync_directory, write_whole


class StateUnusable(Exception):
    """The state directory cannot be used. The message says why and what to do."""


def write_durably(path: Path, text: str) -> None:
    """Write a file in one step, of root alone; its directory is made. Raises StateUnusable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(path, text.encode())
    except OSError as error:
        raise _unusable(path, error) from error


def remove_durably(path: Path) -> None:
    """Remove a file, if it is there. Raises StateUnusable."""
    try:
        path.unlink(missing_ok=True)
        sync_directory(path.parent)
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


def _unusable(path: Path, error: OSError) -> StateUnusable:
    return StateUnusable(f"{path}: {error.strerror or error}; see that svm-host may write there, and of room")
