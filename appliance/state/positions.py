"""How far something was heard that tells of changes, so that a restart goes on from there.

positions  name -> JSON {position}, with an xxh3_64 of the rest
"""

from appliance.state.environment import StateEnvironment, packed, unpacked
from appliance.state.fields import meaning, number_of


class PositionStore:
    """Positions by name. Setting one waits for the disk."""

    def __init__(self, environment: StateEnvironment) -> None:
        self._environment = environment
        self._positions_db = environment.table(b"positions")

    def get(self, name: str) -> int | None:
        """The position that was set last, None for none. Raises StateDamaged."""
        with self._environment.reading() as txn:
            data = txn.get(name.encode(), db=self._positions_db)
        if data is None:
            return None
        fields = unpacked(data, self._environment.path)
        with meaning(self._environment.path, "a position"):
            return number_of("position", fields)

    def set(self, name: str, position: int) -> None:
        """Keep a position; on the disk when this returns. Raises StateError."""
        with self._environment.changing, self._environment.writing() as txn:
            txn.put(name.encode(), packed({"position": position}), db=self._positions_db)
