"""Who else is here: bounds that leave room for others count only where there are others."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from appliance.domain.guest import Owner

Name = TypeVar("Name", bound=Hashable)

HERE_SECONDS = 10.0  # that somebody is here after he asked for something
MOST_HEARD = 4096


class _Heard(Generic[Name]):
    """Who was heard lately, the longest ago first; of more than MOST_HEARD the latest."""

    def __init__(self) -> None:
        self._heard: dict[Name, float] = {}

    def note(self, name: Name, now: float) -> None:
        """Somebody was heard."""
        self._heard.pop(name, None)
        self._heard[name] = now
        if len(self._heard) > MOST_HEARD:
            del self._heard[next(iter(self._heard))]

    def others(self, name: Name, now: float) -> int:
        """How many others were heard lately."""
        while self._heard and now - next(iter(self._heard.values())) >= HERE_SECONDS:
            del self._heard[next(iter(self._heard))]
        return len(self._heard) - (name in self._heard)


class Company:
    """Guests, and the tenants whose they are, that asked for something a moment ago."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """clock: seconds that only go forward."""
        self._clock = clock
        self._guests = _Heard[str]()
        self._tenants = _Heard[int]()

    def note(self, owner: Owner) -> None:
        """A guest asks for something."""
        now = self._clock()
        self._guests.note(owner.guest_id, now)
        self._tenants.note(owner.scope, now)

    def others(self, guest_id: str) -> int:
        """How many other guests are here."""
        return self._guests.others(guest_id, self._clock())

    def of_guest(self, guest_id: str) -> bool:
        """Whether another guest is here."""
        return self.others(guest_id) > 0

    def of_tenant(self, scope: int) -> bool:
        """Whether a guest of another tenant is here."""
        return self._tenants.others(scope, self._clock()) > 0
