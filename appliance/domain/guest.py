"""Who asks, and which entries of the cache he may see."""

from dataclasses import dataclass
from typing import NamedTuple

PUBLIC_SCOPE = 0  # local lists, seeded images
KSN_SHARED_SCOPE = 1  # KSN answers that the provider shares among participants
DEFAULT_TENANT_SCOPE = 16  # the first tenant; lower numbers are reserved


@dataclass(frozen=True, slots=True)
class Guest:
    """A caller, named by its connection and never by a request.

    id: "uid-0.pid-4711" on a unix socket, with a certificate the guest's UUID. scope: the tenant's part of
    the cache. tenant: its name.
    """

    id: str
    scope: int = DEFAULT_TENANT_SCOPE
    tenant: str = "default"  # as domain.policy has it, which knows more than is needed here

    @property
    def owner(self) -> "Owner":
        """The guest where turns and shares are counted."""
        return Owner(self.scope, self.id)


class Owner(NamedTuple):
    """Whose something is: a guest of a tenant. scope: the tenant's number. A key that is made in no time."""

    scope: int = DEFAULT_TENANT_SCOPE
    guest_id: str = ""


NOBODY = Owner()


def user_of(guest_id: str) -> str:
    """Whose guest it is: on a unix socket the user, who may have many tickets; on TCP the guest itself."""
    return guest_id.partition(".pid-")[0]
