"""Who asks, what then leaves on his behalf, and what it is when no answer comes."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from appliance.domain.guest import user_of
from appliance.domain.policy import KsnType, Mode
from appliance.ksn.reputation import Request, Trouble


class Standing(StrEnum):
    """In whose interest a question is."""

    GUEST = "guest"
    LATER = "later"  # about what was scanned while KSN gave no answer; see `later`
    CONTENT = "content"  # what is handed over for analysis, on behalf of whichever guest
    HOUSE = "house"  # the SVM's own, or its administrator's


def payer_of(scope: int, guest: str, standing: Standing) -> str:
    """Return whose share a question takes."""
    return f"{scope} {user_of(guest)}" if standing is Standing.GUEST else standing


@dataclass(frozen=True, slots=True)
class Asker:
    """For whom a question is asked, and by which decision it may be.

    scope: the tenant's part of the cache. type, mode: in which the tenant takes part. statement: the version
    of the Statement of that type which it accepted. documents: whether those may be handed over. standing:
    what shares bind it.
    """

    scope: int
    tenant: str
    guest: str
    type: KsnType
    mode: Mode
    statement: int
    documents: bool = False
    standing: Standing = Standing.GUEST

    @property
    def payer(self) -> str:
        """Whose share of slots and quota it takes: guests of one user of the machine have one together."""
        return payer_of(self.scope, self.guest, self.standing)


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What is about to leave, and on whose behalf; `statement.disclosed` lists its fields."""

    service: str
    asker: Asker
    request: Request


@dataclass(frozen=True, slots=True)
class Unknown:
    """Why there is no answer. Never kept. reason: a sentence for people."""

    why: Trouble
    reason: str


class Ledger(Protocol):
    """Where it is written down what leaves. `ledger.DisclosureLedger` is it."""

    async def before(self, disclosure: Disclosure) -> int:
        """Return the number under which it stands, once that is durable. Raises where it is not."""

    def after(self, number: int, result: str) -> None:
        """Note how the request of that number ended. Does not wait."""
