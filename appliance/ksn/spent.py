"""What went out in the last day, from the ledger, so that a restart refills neither quota nor budget.

The newest entries are looked at, MOST_ENTRIES at the most: where more than those were written in a day, what
was sent before them is forgotten by a restart. What was written down and not sent after all counts as sent.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from appliance.ksn.asker import Standing, payer_of
from appliance.ksn.ledger import REQUEST
from appliance.ksn.quota import DAY
from appliance.ksn.reputation import Call
from appliance.ksn.statement import handed_over

MOST_ENTRIES: Final = 200_000  # about a second of reading

_STANDINGS: Final = {Call.SUBMIT.value: Standing.CONTENT, Call.STATISTICS.value: Standing.HOUSE}


@dataclass(frozen=True, slots=True)
class Spent:
    """A request of the last day. age: seconds since it was written down.

    digest, length: of the content that it handed over, b"" and 0 where it handed over none.
    """

    age: float
    service: str
    tenant: str
    guest: str
    call: str
    digest: bytes = b""
    length: int = 0

    def counts_for(self, service: str) -> bool:
        """Whether it is of the quota of a service; waiting for changes has a count of its own."""
        return self.service == service and self.call != Call.CHANGES

    def payer(self, scopes: Mapping[str, int]) -> str:
        """Whose share it took, as far as the ledger tells. scopes: by tenant."""
        standing = _STANDINGS.get(self.call, Standing.GUEST)
        return payer_of(scopes.get(self.tenant, 0), self.guest, standing)


def last_day(newest: Iterable[Mapping[str, Any]], now: float) -> list[Spent]:
    """Return the requests of the last day, the oldest first.

    newest: what stands in the entries, the newest first. now: seconds since the epoch; what was written
    after it, by a clock that was wrong then or is now, counts as of now.
    Raises ValueError for a submission that does not say what it handed over.
    """
    found = []
    for looked_at, entry in enumerate(newest):
        age = max(0.0, now - float(entry.get("at", 0.0)))
        if age >= DAY or looked_at >= MOST_ENTRIES:
            break
        if entry.get("kind") == REQUEST:
            found.append(_spent(entry, age))
    return found[::-1]


def _spent(entry: Mapping[str, Any], age: float) -> Spent:
    service, tenant, guest, call = (
        str(entry.get(name, "")) for name in ("service", "tenant", "guest", "call")
    )
    digest, length = handed_over(_fields(entry)) if call == Call.SUBMIT else (b"", 0)
    return Spent(age, service, tenant, guest, call, digest, length)


def _fields(entry: Mapping[str, Any]) -> dict[str, str]:
    fields = entry.get("fields")
    if not isinstance(fields, dict) or not all(isinstance(said, str) for said in fields.values()):
        raise ValueError("a submission has no fields")
    return fields
