"""An administrator's word on a digest, which wins over every verdict.

The provider's counts for everybody; one of a tenant's own administrators for that tenant, where the provider
has said nothing.
"""

from dataclasses import dataclass

MAX_REASON_BYTES = 512


@dataclass(frozen=True, slots=True)
class Override:
    """allow: answered CLEAN, else MALICIOUS. expires_at: seconds since the epoch, 0 for no end."""

    allow: bool
    reason: str
    author: str
    set_at: int
    expires_at: int = 0

    def in_force(self, now: float) -> bool:
        """Whether it still counts at `now`, seconds since the epoch."""
        return self.expires_at == 0 or now < self.expires_at
