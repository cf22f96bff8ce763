"""Makes a backup beside an SVM that serves, or without one.

Each LMDB file is copied as it is at one moment, by a read transaction: nobody waits for that. What may be
lost, the cache and who holds which file, is not in it. The file appears whole or not at all.
"""

import os
import stat
import tempfile
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from appliance.durable import sync_directory
from appliance.owner import as_owner
from appliance.state.backup_file import (
    IDENTITY,
    MAX_IDENTITY_BYTES,
    MAX_PARTS,
    BadBackup,
    Manifest,
    Writer,
    is_part_name,
)
from appliance.state.environment import STATE, StateEnvironment, StateFile
from appliance.state.events import FILE as EVENTS
from appliance.state.events import events_file
from appliance.state.replacing import READY


@dataclass(frozen=True, slots=True)
class BackupTerms:
    """made_at: seconds since the epoch. overwrite: whether a file of that name may be replaced."""

    made_at: float
    program: str
    overwrite: bool = False


def back_up(directory: Path, path: Path, terms: BackupTerms) -> Manifest:
    """Write a backup of a state directory, on the disk when this returns.

    Raises BadBackup where it cannot be made, StateError where the state cannot be read, OSError.
    """
    _check_place(path, terms.overwrite)
    if any(directory.glob(f"{READY}*")):
        raise BadBackup(
            f"a restore of {directory} was cut short: start its SVM, which ends it, and try again"
        )
    fd, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(fd, "w+b") as file, as_owner(directory):
            manifest = _write(directory, file, terms)
        _put_in_place(Path(name), path, terms.overwrite)
    except OSError as error:
        if error.filename is not None:  # a file of the state, or the place of the backup
            raise
        why = f"{path} cannot be written ({error.strerror or error}), and was not"
        raise BadBackup(f"{why}: free room in {path.parent}, or name a file on another disk") from error
    finally:
        with suppress(FileNotFoundError):
            Path(name).unlink()
    sync_directory(path.parent)
    return manifest


def _check_place(path: Path, overwrite: bool) -> None:
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if not path.parent.is_dir():
            raise BadBackup(f"{path.parent} is no directory: make it first") from None
        return
    if not stat.S_ISREG(mode):
        raise BadBackup(f"{path} is there and is no file: give another name")
    if not overwrite:
        raise BadBackup(f"{path} is there already: give another name, or --force to replace it")


def _write(directory: Path, file: BinaryIO, terms: BackupTerms) -> Manifest:
    writer, schemas = Writer(file), dict[str, int]()
    for kind in (STATE, events_file(_map_bytes(directory / EVENTS))):
        schemas[kind.name] = _add_lmdb(directory, kind, writer)
    for source in _identity(directory / "identity"):
        writer.add_bytes(f"{IDENTITY}{source.name}", _content(source))
    return writer.end(terms.made_at, terms.program, schemas)


def _add_lmdb(directory: Path, kind: StateFile, writer: Writer) -> int:
    """Add one of the two, and return its schema, which may be an older one."""
    with closing(StateEnvironment.open_to_read(directory, kind, as_it_is=True)) as environment:
        writer.add(kind.name, environment.copy_to)
        return environment.schema()


def _map_bytes(path: Path) -> int:
    """Address space in which there is room for a file that grows meanwhile."""
    return 2 * path.stat().st_size + (64 << 20) if path.exists() else 1 << 20


def _identity(directory: Path) -> list[Path]:
    """The files of the appliance's identity; none where there is none."""
    if not directory.is_dir():
        return []
    found = sorted(path for path in directory.iterdir() if path.is_file() and not path.name.startswith("."))
    odd = [path for path in found if not is_part_name(f"{IDENTITY}{path.name}")]
    if odd or len(found) > MAX_PARTS - 2:
        raise BadBackup(f"{directory} holds files of others ({(odd or found)[0].name!r}): move them away")
    return found


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_IDENTITY_BYTES + 1)
    if len(data) > MAX_IDENTITY_BYTES:
        raise BadBackup(f"{path} is larger than {MAX_IDENTITY_BYTES >> 10} KiB: it is no file of an identity")
    return data


def _put_in_place(written: Path, path: Path, overwrite: bool) -> None:
    """Give the file its name, in one step."""
    if overwrite:
        written.replace(path)
        return
    try:
        path.hardlink_to(written)
    except FileExistsError as error:
        raise BadBackup(f"{path} is there now: give another name, or --force to replace it") from error
    except OSError:  # a file system without links
        _check_place(path, overwrite)
        written.rename(path)
