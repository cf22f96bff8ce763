"""Who else is here: bounds that leave room for others count only where there are others."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from appliance.domain.guest import Owner

Name = TypeVar("Name", bound=Hashable)

HERE_SECONDS = 10.0  # that somebody is here after he asked for something


class _LastTwo(Generic[Name]):
    """Who was heard last, and who was last before him: enough to know whether there is another."""

    def __init__(self) -> None:
        self._last: tuple[Name, float] | None = None
        self._before: tuple[Name, float] | None = None

    def note(self, name: Name, now: float) -> None:
        """Somebody was heard."""
        if self._last is not None and self._last[0] != name:
            self._before = self._last
        self._last = (name, now)

    def another(self, name: Name, now: float) -> bool:
        """Whether another was heard lately."""
        other = self._before if self._last is None or self._last[0] == name else self._last
        return other is not None and now - other[1] < HERE_SECONDS


class Company:
    """Guests, and the tenants whose they are, that asked for something a moment ago."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """clock: seconds that only go forward."""
        self._clock = clock
        self._guests = _LastTwo[str]()
        self._tenants = _LastTwo[int]()

    def note(self, owner: Owner) -> None:
        """A guest asks for something."""
        now = self._clock()
        self._guests.note(owner.guest_id, now)
        self._tenants.note(owner.scope, now)

    def of_guest(self, guest_id: str) -> bool:
        """Whether another guest is here."""
        return self._guests.another(guest_id, self._clock())

    def of_tenant(self, scope: int) -> bool:
        """Whether a guest of another tenant is here."""
        return self._tenants.another(scope, self._clock())
