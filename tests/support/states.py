"""State directories with something in each part, and what of it is there."""

from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from appliance.domain.event import Event, EventKind
from appliance.domain.guest import PUBLIC_SCOPE
from appliance.domain.override import Override
from appliance.state.backup import BackupTerms, back_up
from appliance.state.backup_file import Manifest
from appliance.state.events import Entry, EventStore, EventTerms
from appliance.state.ledger import LedgerStore
from appliance.state.store import StateStore

NOW = 1_900_000_000.0
DIGEST = bytes(31) + b"\1"
TERMS = BackupTerms(NOW, "1.2.3")


class Found(NamedTuple):
    """A word out of each part of a state; "" for none."""

    override: str
    ledger: str
    event: str
    key: str


def all_of(word: str) -> Found:
    """What a state has that make_state made with the word."""
    return Found(word, word, word, word)


def make_state(directory: Path, word: str) -> Path:
    """A state directory as an SVM leaves it, with the word in each part."""
    with closing(StateStore.open(directory, lambda: NOW, 100)) as state:
        state.set_override(DIGEST, Override(True, word, "uid-0", int(NOW)), "uid-0")
        LedgerStore(state.environment).append([{"kind": "request", "word": word}])
    with closing(EventStore.open(directory, EventTerms(), NOW)) as events:
        events.append([Entry(Event(NOW, EventKind.NOTE, text=word))], NOW)
    (directory / "identity").mkdir(mode=0o700)
    (directory / "identity" / "ca.key").write_text(word)
    (directory / "identity" / "ca.key").chmod(0o600)
    (directory / "cache.lmdb").write_text(word)
    (directory / "exposure-1.raw").write_text(word)
    return directory


def found_in(directory: Path) -> Found:
    """What a state directory has, opened as an SVM opens it."""
    with closing(StateStore.open(directory, lambda: NOW, 100)) as state:
        override = state.overrides().get((PUBLIC_SCOPE, DIGEST))
        ledger = LedgerStore(state.environment)
        assert ledger.verify().problem == ""
        noted = [str(entry.payload["word"]) for entry in ledger.entries()]
    with closing(EventStore.open(directory, EventTerms(), NOW)) as events:
        assert events.notice == ""
        texts = [event.text for _, event in events.from_number(1, 10)]
    key = directory / "identity" / "ca.key"
    return Found(
        override.reason if override else "",
        "".join(noted),
        "".join(texts),
        key.read_text() if key.exists() else "",
    )


def make_backup(path: Path, directory: Path) -> Manifest:
    """A backup of a directory."""
    return back_up(directory, path, TERMS)
