"""The settings of who is who: a part of `config`, and used through it."""

from dataclasses import dataclass
from typing import Annotated

from appliance.config_forms import Range


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """How long certificates count, and how many guests may enrol.

    guest_days: a guest renews its own when two thirds of that are over. enrolments_per_minute: from one
    address, tokens that do not count among them. enrolments_at_once: with renewals, from everywhere.
    enrolments_per_connection: at once, with renewals. renewals_per_hour: of one guest. tenant_guests,
    tenant_tokens: in the register, of one tenant. agent_tokens: the same of one host agent, for whichever
    tenants. What is over one of them is counted under identity_over_<setting>.
    """

    guest_days: Annotated[int, Range(1, 825)] = 30
    administrator_days: Annotated[int, Range(1, 825)] = 365
    server_days: Annotated[int, Range(1, 825)] = 825
    enrolments_per_minute: Annotated[int, Range(1, 10_000)] = 10
    enrolments_at_once: Annotated[int, Range(4, 1024)] = 64
    enrolments_per_connection: Annotated[int, Range(1, 64)] = 4
    renewals_per_hour: Annotated[int, Range(1, 1000)] = 6
    tenant_guests: Annotated[int, Range(1, 12_288)] = 4096
    tenant_tokens: Annotated[int, Range(1, 6144)] = 512
    agent_tokens: Annotated[int, Range(1, 6144)] = 1536
