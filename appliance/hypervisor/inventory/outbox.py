"""Events for the SVM, a small file each, kept until the SVM has them on its disk.

    outbox/ID.json  {host, uuid, kind, text, at}

What is put in twice by one id is one event. So many are kept; with one more the oldest goes.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from appliance.domain.event import MAX_TEXT_BYTES
from appliance.hypervisor.files import StateUnusable, read_bounded, remove_durably, write_durably

MOST = 1000
_MOST_BYTES = 16 << 10


@dataclass(frozen=True, slots=True)
class ForSvm:
    """An event. host: URI. kind: of the SVM's events. at: seconds since the epoch, for the order alone."""

    host: str
    uuid: str
    kind: str
    text: str
    at: float


class Outbox:
    """The directory `outbox` of the state."""

    def __init__(self, state_dir: Path) -> None:
        self._directory = state_dir / "outbox"

    def put(self, id_: str, event: ForSvm) -> None:
        """Keep an event; on the disk when this returns. Raises StateUnusable."""
        text = event.text.encode(errors="replace")[:MAX_TEXT_BYTES].decode(errors="ignore")
        fields = asdict(event) | {"text": text}
        write_durably(self._directory / f"{id_}.json", json.dumps(fields))
        for old in [id_ for id_, _ in self.all()][:-MOST]:
            self.remove(old)

    def all(self) -> list[tuple[str, ForSvm]]:
        """Every event by its id, the oldest first. What is not what was written is left out."""
        found = []
        for path in self._directory.glob("*.json") if self._directory.is_dir() else ():
            try:
                fields = json.loads(read_bounded(path, _MOST_BYTES) or "{}")
                found.append((path.stem, ForSvm(**fields)))
            except (StateUnusable, ValueError, TypeError, RecursionError):
                continue
        return sorted(found, key=lambda each: (each[1].at, each[0]))

    def remove(self, id_: str) -> None:
        """Forget an event. Raises StateUnusable."""
        remove_durably(self._directory / f"{id_}.json")
