"""Who asks, what then leaves on his behalf, and what it is when no answer comes."""

from dataclasses import dataclass

from appliance.domain.policy import KsnType, Mode
from appliance.ksn.reputation import Request, Trouble


@dataclass(frozen=True, slots=True)
class Asker:
    """For whom a question is asked, and by which decision it may be.

    scope: the tenant's part of the cache. type, mode: in which the tenant takes part. statement: the version
    of the Statement of that type which it accepted.
    """

    scope: int
    tenant: str
    guest: str
    type: KsnType
    mode: Mode
    statement: int


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
