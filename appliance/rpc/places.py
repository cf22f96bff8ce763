"""So many calls of a kind may be open: whose they are, and who finds no place.

Everybody leaves some to others, and who has none finds one beside: tenants, and auditors and host agents of
no tenant, are as many as the provider has made, and each has one, however many of the places others hold.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from appliance.domain.caller import Caller, Role


class NoPlace(Exception):
    """As many calls of a kind are open as may be. The message says so."""


class Full(Enum):
    """What there is no more of: what one may have, what there is for all, the first places beside."""

    ONE = auto()
    ALL = auto()
    FIRSTS = auto()


@dataclass(frozen=True, slots=True)
class PlaceBounds:
    """How many places there are, and whose.

    of_one: that the callers of one tenant have, or one auditor or host agent of none. kept: for providers
    alone; and tenants on one side, and those of none on the other, leave as many to each other. firsts:
    beside all these, each for one who has none.
    """

    most: int
    of_one: int
    kept: int
    firsts: int = 0


_Holder = tuple[str, str]  # of a kind, and which
_TENANTS: Final = "tenants"
_OTHERS: Final = "others"  # of no tenant, and no providers


class Places:
    """The places of one kind."""

    def __init__(
        self, bounds: PlaceBounds, sentence: str, on_full: Callable[[Full], None] = lambda _full: None
    ) -> None:
        """sentence: says that there are no more, with {} for how many there are.

        on_full: told of each who finds none, and why; FIRSTS comes after ALL.
        """
        self._bounds = bounds
        self._sentence = sentence
        self._on_full = on_full
        self._taken: Counter[_Holder] = Counter()
        self._firsts: Counter[_Holder] = Counter()  # that nobody else has fewer for

    @property
    def taken(self) -> int:
        """How many are open, first ones among them."""
        return self._taken.total() + self._firsts.total()

    @contextmanager
    def one(self, caller: Caller) -> Iterator[None]:
        """Take one, for the length of a `with`. Raises NoPlace."""
        holder = _holder(caller)
        taken = self._where_one_is_free(holder)
        taken[holder] += 1
        try:
            yield
        finally:
            taken[holder] -= 1
            if not taken[holder]:
                del taken[holder]

    def _where_one_is_free(self, holder: _Holder) -> Counter[_Holder]:
        """Raises NoPlace."""
        bounds, has = self._bounds, self._taken[holder] + self._firsts[holder]
        is_provider = holder[0] == Role.PROVIDER
        if not is_provider and has >= bounds.of_one:
            self._on_full(Full.ONE)
            raise NoPlace(self._sentence.format(bounds.of_one))
        if not self._is_full(holder):
            return self._taken
        is_first = not is_provider and not has and bounds.firsts > 0
        if is_first and self._firsts.total() < bounds.firsts:
            return self._firsts
        self._on_full(Full.ALL)
        if is_first:
            self._on_full(Full.FIRSTS)
        raise NoPlace(self._sentence.format(self.taken))

    def _is_full(self, holder: _Holder) -> bool:
        """Whether all are taken of those that he may have; first ones take nobody's."""
        most, kept = self._bounds.most, self._bounds.kept
        if self._taken.total() >= most:
            return True
        if holder[0] == Role.PROVIDER:
            return False
        others = sum(count for each, count in self._taken.items() if each[0] != Role.PROVIDER)
        alike = sum(count for each, count in self._taken.items() if each[0] == holder[0])
        return others >= most - kept or alike >= max(1, most - 2 * kept)


def _holder(caller: Caller) -> _Holder:
    """Whose a place is. All processes of one user on a socket are one."""
    if caller.tenant:
        return _TENANTS, caller.tenant
    if caller.role is Role.PROVIDER:
        return Role.PROVIDER, ""
    return _OTHERS, f"{caller.role} {caller.local_user or caller.name}"
