"""Machines that are to be cut off after an event, a small file each, until they are.

    wanted/UUID.json  {reason, at}

So nothing is lost when a host is gone just then, or this process is killed. One more than MOST is not taken.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from appliance.hypervisor.files import StateUnusable, read_bounded, remove_durably, write_durably

MOST = 1000
_MOST_BYTES = 16 << 10
_MOST_LETTERS = 300


@dataclass(frozen=True, slots=True)
class Want:
    """Why a machine is to be cut off. at: when that was so, seconds since the epoch."""

    reason: str
    at: float


class Wanted:
    """The directory `wanted` of the state. Its names are UUIDs of guests' certificates."""

    def __init__(self, state_dir: Path) -> None:
        self._directory = state_dir / "wanted"

    def put(self, uuid: str, want: Want) -> None:
        """Keep that a machine is to be cut off; the first reason stays. Raises StateUnusable."""
        known = self.all()
        if uuid not in known and len(known) < MOST:
            fields = asdict(want) | {"reason": want.reason[:_MOST_LETTERS]}
            write_durably(self._directory / f"{uuid}.json", json.dumps(fields))

    def all(self) -> dict[str, Want]:
        """Every one by its UUID, the oldest first. What is not what was written is left out."""
        found = {}
        for path in self._directory.glob("*.json") if self._directory.is_dir() else ():
            try:
                found[path.stem] = Want(**json.loads(read_bounded(path, _MOST_BYTES) or "{}"))
            except (StateUnusable, ValueError, TypeError, RecursionError):
                continue
        return dict(sorted(found.items(), key=lambda each: each[1].at))

    def remove(self, uuid: str) -> None:
        """Forget one. Raises StateUnusable."""
        remove_durably(self._directory / f"{uuid}.json")
