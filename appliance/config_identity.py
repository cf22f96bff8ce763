"""The settings of who is who: a part of `config`, and used through it."""

from dataclasses import dataclass
from typing import Annotated

from appliance.config_forms import Range


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """How long certificates count, and how many guests may enrol.

    guest_days: a guest renews its own when two thirds of that are over. enrolments_per_minute: from one
    address, tokens that do not count among them. tenant_guests: in the register, of one tenant.
    """

    guest_days: Annotated[int, Range(1, 825)] = 30
    administrator_days: Annotated[int, Range(1, 825)] = 365
    server_days: Annotated[int, Range(1, 825)] = 825
    enrolments_per_minute: Annotated[int, Range(1, 10_000)] = 10
    tenant_guests: Annotated[int, Range(1, 12_288)] = 4096
