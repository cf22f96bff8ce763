"""What a tenant has decided: whether it takes part in KSN, in which mode, under which Statement."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

MAX_TENANT_BYTES = 64
DEFAULT_TENANT = "default"
TENANT_RULE = f'give 1 to {MAX_TENANT_BYTES} letters of A-Z and a-z, digits, ".", "_" and "-"'
_TENANT = re.compile(rf"[A-Za-z0-9._-]{{1,{MAX_TENANT_BYTES}}}")


def is_tenant(name: str) -> bool:
    """Whether a text is a tenant's name: see TENANT_RULE."""
    return _TENANT.fullmatch(name) is not None


class KsnType(StrEnum):
    """Whose service it is."""

    GLOBAL = "global"  # hosted by the vendor
    PRIVATE = "private"  # inside the corporate network, or at a service provider


class Mode(IntEnum):
    """How much may leave; what is allowed in one mode is allowed in every wider one."""

    STANDARD = 1
    EXTENDED = 2


class Decision(StrEnum):
    """What somebody said to a Statement."""

    ACCEPT = "accept"
    DECLINE = "decline"


@dataclass(frozen=True, slots=True)
class Consent:
    """One decision on one Statement, as the history keeps it for good.

    number: counts up over all tenants, from 1. at: seconds since the epoch. actor: who decided, by the
    connection. sha256: of the text that was shown, in hexadecimal, the provider's own part included.
    """

    number: int
    at: float
    tenant: str
    actor: str
    decision: Decision
    type: KsnType
    version: int
    sha256: str


@dataclass(frozen=True, slots=True)
class SettingsChange:
    """How a policy was set at a time, its decisions aside. number, at, actor: as in Consent."""

    number: int
    at: float
    tenant: str
    actor: str
    active: bool
    mode: Mode
    documents: bool = False


HistoryEntry = Consent | SettingsChange


@dataclass(frozen=True, slots=True)
class Policy:
    """One tenant's. scope: its part of the cache.

    mode: the widest in which the tenant wants to take part; the provider's limit may be narrower.
    decided: the latest decision on the Statement of each type, where there was one. documents: whether the
    tenant allows that documents are handed over for analysis; the provider has to allow it as well.
    """

    tenant: str
    scope: int
    active: bool = True
    mode: Mode = Mode.STANDARD
    decided: Mapping[KsnType, Consent] = field(default_factory=dict)
    documents: bool = False

    def accepted(self, type_: KsnType) -> Consent | None:
        """The decision by which the tenant takes part in a type of KSN, None where it does not.

        Who has declined since, whatever the type was then, takes part in none until he accepts anew.
        """
        consent = self.decided.get(type_)
        if consent is None or consent.decision is not Decision.ACCEPT:
            return None
        declined = (each for each in self.decided.values() if each.decision is Decision.DECLINE)
        return None if any(each.number > consent.number for each in declined) else consent
