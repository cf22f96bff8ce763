"""The settings of what is known of the hosts' virtual machines: a part of `config`, and used through it."""

from dataclasses import dataclass
from typing import Annotated

from appliance.config_forms import Range


@dataclass(frozen=True, slots=True)
class InventorySettings:
    """When a machine that is not protected becomes an event, and how host agents report.

    grace_seconds: how long a machine that runs may be unprotected before that. report_seconds: within which a
    host agent is to report again; when three times as much is over another may take its host. keep_days: how
    long a host is known of which nothing is told any more.
    """

    grace_seconds: Annotated[float, Range(1, 86_400)] = 300.0
    report_seconds: Annotated[float, Range(1, 3600)] = 60.0
    keep_days: Annotated[float, Range(0.01, 3650)] = 30.0
