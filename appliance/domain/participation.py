"""Whether KSN is used on a tenant's behalf, how far, and why not further.

The numbers are those of the wire (verdict.proto).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from appliance.domain.guest import Guest
from appliance.domain.policy import KsnType, Mode


class KsnState(IntEnum):
    """Whether KSN is used now."""

    ENABLED = 1
    RESTRICTED = 2  # used, but not as far as it was meant to be, or not at this moment
    OFF = 3  # nothing is sent


class Reason(IntEnum):
    """Why KSN is not used, or only with restrictions."""

    # Off.
    PROVIDER_DISABLED = 1
    NO_POLICY = 2
    NOT_ACCEPTED = 3
    POLICY_INACTIVE = 4
    NOT_WRITTEN = 11  # a change by which less is sent could not be written, and holds all the same
    # Restricted.
    UNREACHABLE = 5
    REFUSED = 6  # the service refuses the provider's credentials
    QUOTA_SPENT = 7
    NOT_RECORDED = 8  # the ledger cannot be written, so nothing is sent
    MODE_LIMITED = 9  # the provider allows a narrower mode than the tenant chose
    NEWER_STATEMENT = 10  # the tenant takes part under the earlier one until it decides


@dataclass(frozen=True, slots=True)
class Participation:
    """How KSN is used on behalf of one tenant.

    type, mode: those in force, None where the provider has not enabled KSN. reasons: each with a sentence
    for people, the most important first, none where it is enabled. accepted: the version of the Statement
    under which the tenant takes part, 0 for none. in_force: the version that is to be accepted now.
    documents: whether those in which a threat was found are handed over.
    """

    state: KsnState
    type: KsnType | None = None
    mode: Mode | None = None
    reasons: tuple[tuple[Reason, str], ...] = ()
    accepted: int = 0
    in_force: int = 0
    documents: bool = False


class Reputation(Protocol):
    """A service that may know a digest, for those who take part. Its answers come through `learned`."""

    @property
    def shared(self) -> bool:
        """Whether those who take part see each other's answers."""

    @property
    def epoch(self) -> int:
        """How often everything that it had said had to be heard anew; what it said before counts no more."""

    def takes_part(self, scope: int) -> bool:
        """Whether its answers may be seen in a scope."""

    def would_ask(self, guest: Guest, digest: bytes) -> bool:
        """Whether asking is allowed, and of any use now."""

    def scopes(self) -> list[int]:
        """Those where they may."""

    def slice_of(self, budget: float) -> float:
        """How many of `budget` seconds a question may take."""

    def ask(self, guest: Guest, digest: bytes, budget: float, done: Callable[[], None]) -> None:
        """Ask, in a share of `budget` seconds, and call `done` when that is over."""
