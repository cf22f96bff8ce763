"""Brings a backup back: all of it is checked before the state that is there is touched.

The parts are written beside the state, opened as an SVM would open them (which upgrades an older schema), and
read; then they take the state's place (`replacing`). Killed at any step, the old state is there or the new.
Root does this as whom the state directory belongs to (`owner`), who may be at work in it.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from appliance.owner import as_owner
from appliance.regular import NoFile, open_regular
from appliance.state import replacing
from appliance.state.backup_file import BadBackup, Manifest, damaged, read_manifest, read_parts
from appliance.state.environment import FILE, STATE, StateDamaged, StateEnvironment, StateError, lock_to_write
from appliance.state.events import FILE as EVENTS
from appliance.state.events import events_file
from appliance.state.ledger import LedgerStore
from appliance.state.policies import PolicyStore
from appliance.state.scan_orders import ScanOrderStore
from appliance.state.store import StateStore


@dataclass(frozen=True, slots=True)
class Restored:
    """What was done. kept: where the old state lies, None where there was none."""

    manifest: Manifest
    kept: Path | None


def restore(path: Path, directory: Path, stamp: str, overwrite: bool = False) -> Restored:
    """Put a backup into a state directory on which no SVM runs; on the disk when this returns.

    stamp: a part of names, new for each restore. overwrite: whether a state that is there may be set aside.
    Raises BadBackup where the file cannot be used, StateError where the directory cannot, OSError.
    """
    with _opened(path) as file:
        manifest = read_manifest(file, path)
        _check_schemas(path, manifest)
        read_parts(file, path, manifest)
        with as_owner(directory), _locked(directory):
            replacing.finish(directory)
            _check_place(directory, overwrite)
            gathered = replacing.begin(directory)
            try:
                _gather(file, path, manifest, gathered)
            except BaseException as error:
                replacing.forget_unfinished(directory)
                if isinstance(error, OSError) and error.filename is None:
                    raise _no_room(directory, error) from error
                raise
            replacing.commit(directory, stamp)
            replacing.finish(directory)
    kept = directory / f"{replacing.KEPT}{stamp}"
    return Restored(manifest, kept if kept.exists() else None)


def _no_room(directory: Path, error: OSError) -> StateError:
    why = f"{directory} cannot be written ({error.strerror})"
    return StateError(f"{why}: free room on its disk, or --dir names another; nothing was changed")


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    lock = lock_to_write(directory)
    try:
        yield
    finally:
        os.close(lock)


def _opened(path: Path) -> BinaryIO:
    try:
        return open_regular(path)
    except NoFile as error:
        raise BadBackup(f"{path} is no file: give one that `svm backup` has made") from error


def _check_schemas(path: Path, manifest: Manifest) -> None:
    for kind in (STATE, events_file(0)):
        schema = manifest.schemas.get(kind.name, 0)
        if schema > kind.schema:
            known = f"schema {schema}, this program knows {kind.schema}"
            raise BadBackup(f"{path} holds {kind.name} of {known}: run the newer svm")


def _check_place(directory: Path, overwrite: bool) -> None:
    there = [name for name in (FILE, EVENTS, "identity") if (directory / name).exists()]
    if there and not overwrite:
        raise StateError(
            f"{directory} has a state already ({', '.join(there)}): --force sets it aside, "
            "or --dir names another directory"
        )


def _gather(file: BinaryIO, path: Path, manifest: Manifest, gathered: Path) -> None:
    """Write the parts, try them, and leave all that a state has; each file is on the disk."""
    (gathered / "identity").mkdir(mode=0o700)
    with ExitStack() as stack:
        sinks = {name: stack.enter_context((gathered / name).open("xb")) for name in manifest.names()}
        read_parts(file, path, manifest, sinks)
    try:
        _try_state(gathered)
        _try_events(gathered, next(part.bytes for part in manifest.parts if part.name == EVENTS))
    except StateDamaged as error:
        raise damaged(path, str(error).removeprefix(f"{gathered}/").split("): ")[0]) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # records that no SVM has written
        raise damaged(path, f"a record in it has no meaning: {error}") from error
    for each in (gathered, *gathered.rglob("*")):
        each.chmod(0o700 if each.is_dir() else 0o600)
        if each.is_file():
            _sync(each)


def _try_state(gathered: Path) -> None:
    """Read what an SVM reads at its start, and the whole ledger."""
    state = StateStore.open(gathered, lambda: 0.0, 1)
    with closing(state):
        state.overrides()
        list(PolicyStore(state.environment, lambda: 0.0).policies())
        ScanOrderStore(state.environment).all()
        check = LedgerStore(state.environment).verify()
    if check.problem:
        raise StateDamaged(f"the ledger: {check.problem}")


def _try_events(gathered: Path, size: int) -> None:
    StateEnvironment.open(gathered, events_file(2 * size + (64 << 20))).close()


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
