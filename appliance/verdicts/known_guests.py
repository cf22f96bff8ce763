"""The guests that were here, each with a small number, which stands for it where digests are kept.

A number is given to another guest when all are taken. From then on only what was seen later counts for it:
`since` of the new one lies after anything that the old one can have left under the number.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from appliance.domain.policy import DEFAULT_TENANT
from appliance.verdicts.exposure_record import MAX_NUMBER

MOST_GUESTS = 4096
MAX_NAME_BYTES = 255
_TENANT_MARK = b"\0"  # between the name and the tenant; without it the tenant is that of most guests

_FIELDS = struct.Struct("<IIII")  # since, first, last, files


@dataclass(slots=True)
class KnownGuest:
    """since: from which hour on holdings under the number are its. first, last: hours when it was attached.

    files: how many digests it holds, about. tenant: whose guest it is.
    """

    number: int
    name: str
    since: int
    first: int
    last: int
    files: int = 0
    tenant: str = DEFAULT_TENANT

    def record(self) -> bytes:
        """The same as bytes."""
        names = self.name.encode()
        if self.tenant != DEFAULT_TENANT or _TENANT_MARK in names:
            names += _TENANT_MARK + self.tenant.encode()
        return _FIELDS.pack(self.since, self.first, self.last, self.files) + names


def read_guest(number: int, record: bytes) -> KnownGuest | None:
    """Return a guest of its record; None for one that makes no sense."""
    try:
        since, first, last, files = _FIELDS.unpack_from(record)
        names = record[_FIELDS.size :].decode()
        name, mark, tenant = names.rpartition(_TENANT_MARK.decode())
        named = (name, tenant) if mark else (names, DEFAULT_TENANT)
        return KnownGuest(number, named[0], since, first, last, files, named[1])
    except (struct.error, UnicodeDecodeError):
        return None


class KnownGuests:
    """All that are known, by name and by number. changed: numbers whose records are to be written."""

    def __init__(self, guests: Iterable[KnownGuest], most: int = MOST_GUESTS) -> None:
        self.changed: set[int] = set()
        self._most = min(most, MAX_NUMBER)
        self._by_name = {guest.name: guest for guest in guests}
        self._by_number = {guest.number: guest for guest in self._by_name.values()}

    def take_changed(self) -> list[KnownGuest]:
        """The guests whose records are to be written now."""
        numbers, self.changed = self.changed, set()
        return [self._by_number[number] for number in numbers if number in self._by_number]

    def __len__(self) -> int:
        """How many there are."""
        return len(self._by_name)

    def all(self, tenant: str = "") -> list[KnownGuest]:
        """Every guest of a tenant, or ("") of all, the one that was seen last first."""
        theirs = [guest for guest in self._by_name.values() if tenant in ("", guest.tenant)]
        return sorted(theirs, key=lambda guest: (-guest.last, guest.name))

    def named(self, name: str) -> KnownGuest | None:
        """The guest of a name."""
        return self._by_name.get(name)

    def of_number(self, number: int, last: int) -> KnownGuest | None:
        """Whose holding it is that was seen last in an hour; None where nobody is known."""
        guest = self._by_number.get(number)
        return guest if guest is not None and last >= guest.since else None

    def met(
        self, name: str, hour: int, attached: set[str], tenant: str = DEFAULT_TENANT
    ) -> KnownGuest | None:
        """The guest of a name, seen in an hour, known from now on; None where there is no number for it.

        attached: names of guests whose numbers are in use. One that is another tenant's now begins anew: what
        it held before is not its new tenant's to see.
        """
        guest = self._by_name.get(name)
        if guest is None:
            guest = self._new(name, hour, attached)
            if guest is None:
                return None
            guest.tenant = tenant
            self.changed.add(guest.number)
        elif guest.tenant != tenant:
            guest.since = max(hour, guest.last, guest.since) + 1
            guest.tenant, guest.first, guest.files = tenant, hour, 0
            self.changed.add(guest.number)
        if guest.last < hour:
            guest.last = hour
            self.changed.add(guest.number)
        return guest

    def forget(self, oldest: int, attached: set[str]) -> list[int]:
        """Forget who was seen last before an hour; the numbers, which others will have.

        Who has its number from another longer than it is gone keeps it until what it left is old as well.
        """
        gone = [
            guest
            for guest in self._by_name.values()
            if max(guest.last, guest.since) < oldest and guest.name not in attached
        ]
        for guest in gone:
            del self._by_name[guest.name]
            del self._by_number[guest.number]
            self.changed.discard(guest.number)
        return [guest.number for guest in gone]

    def _new(self, name: str, hour: int, attached: set[str]) -> KnownGuest | None:
        number, since = len(self._by_number), hour
        if len(name.encode()) > MAX_NAME_BYTES:
            return None
        if number >= self._most:
            away = (guest for guest in self._by_name.values() if guest.name not in attached)
            before = min(away, key=lambda guest: guest.last, default=None)
            if before is None:
                return None
            del self._by_name[before.name]
            number, since = before.number, max(hour, before.last, before.since) + 1
        elif number in self._by_number:
            number = next(free for free in range(self._most) if free not in self._by_number)
        guest = self._by_name[name] = KnownGuest(number, name, since, hour, hour)
        self._by_number[number] = guest
        return guest
