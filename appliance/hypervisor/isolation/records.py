"""Which machines are cut off, a file each, and how their links were before.

    isolated/UUID.json  {host, name, since, reason, by, phase, told, links, up}
    isolated/lock       locked by whoever changes one

links: by "live" and "config", then by link: its state, see `virt.links`. phase: "isolated", or "releasing"
from when it is to be given back until it is.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from appliance.hypervisor.files import StateUnusable, read_bounded, remove_durably, write_durably

ISOLATED, RELEASING = "isolated", "releasing"
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Record:
    """A machine that is cut off. host: URI. since: seconds since the epoch. by: who did it, for people.

    told: the SVM is, or will be by the outbox. up: links that could not be taken down, when they were last
    looked at.
    """

    uuid: str
    host: str
    name: str
    since: float
    reason: str
    by: str
    phase: str = ISOLATED
    told: bool = False
    links: dict[str, dict[str, str]] = field(default_factory=dict)
    up: list[str] = field(default_factory=list)

    @property
    def is_cut_off(self) -> bool:
        """Whether all of its links were seen to be down, or be none; else it is to be cut off."""
        return self.told and not self.up

    @property
    def id(self) -> str:
        """Names this time of its being cut off."""
        return f"{self.uuid}-{int(self.since * 1000)}"


class Records:
    """The directory `isolated` of the state. Whoever changes something holds `changing`."""

    def __init__(self, state_dir: Path) -> None:
        self._directory = state_dir / "isolated"

    def get(self, uuid: str) -> Record | None:
        """The record of a machine, None where it is not cut off. Raises StateUnusable."""
        path = self._path(uuid)
        text = read_bounded(path, _MOST_BYTES)
        if text is None:
            return None
        try:
            record = Record(uuid=uuid, **json.loads(text))
            ok = record.phase in (ISOLATED, RELEASING) and isinstance(record.links, dict)
            ok = ok and isinstance(record.up, list)
        except (ValueError, TypeError, RecursionError):
            ok = False
        if not ok:
            raise StateUnusable(f"{path} is not what svm-host wrote: set the links by hand, and remove it")
        return record

    def put(self, record: Record) -> None:
        """Keep a record; on the disk when this returns. Raises StateUnusable."""
        fields = asdict(record)
        del fields["uuid"]
        write_durably(self._path(record.uuid), json.dumps(fields, indent=1))

    def remove(self, uuid: str) -> None:
        """Forget a machine's. Raises StateUnusable."""
        remove_durably(self._path(uuid))

    def cut_off(self) -> frozenset[str]:
        """The machines that are cut off, and not in part alone. A record that is damaged is of none."""
        found = set[str]()
        for uuid in self.uuids():
            with suppress(StateUnusable):
                record = self.get(uuid)
                if record is not None and record.is_cut_off:
                    found.add(uuid)
        return frozenset(found)

    def stamp(self) -> frozenset[tuple[str, int]]:
        """Something that is another one when a record came, went or was put anew."""
        if not self._directory.is_dir():
            return frozenset()
        found = set[tuple[str, int]]()
        for path in self._directory.glob("*.json"):
            with suppress(FileNotFoundError):
                found.add((path.name, path.stat().st_mtime_ns))
        return frozenset(found)

    def uuids(self) -> frozenset[str]:
        """The machines that are cut off, or to be."""
        if not self._directory.is_dir():
            return frozenset()
        return frozenset(path.stem for path in self._directory.glob("*.json"))

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Have nobody else change something meanwhile, in this process or another. Raises StateUnusable."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(
                self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
        except OSError as error:
            raise StateUnusable(
                f"{self._directory}: {error.strerror}; see that svm-host may write there"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _path(self, uuid: str) -> Path:
        return self._directory / f"{uuid}.json"
