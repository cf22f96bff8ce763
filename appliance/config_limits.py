"""The settings of what guests may ask for: a part of `config`, and used through it."""

from dataclasses import dataclass
from typing import Annotated

from appliance.config_forms import Range


@dataclass(frozen=True, slots=True)
class Limits:
    """What guests may ask for. Those that are not of the whole SVM are of one guest each."""

    max_file_mib: Annotated[int, Range(1, 4096)] = 256
    spool_mib: Annotated[int, Range(1, 65536)] = 512  # all guests' uploads together
    guest_spool_mib: Annotated[int, Range(1, 65536)] = 256
    max_batch: Annotated[int, Range(1, 8192)] = 1024
    open_checks: Annotated[int, Range(1, 1024)] = 64
    open_digests: Annotated[int, Range(1, 1_000_000)] = 8192  # not settled yet
    max_guests: Annotated[int, Range(1, 4096)] = 256  # of the whole SVM
    max_tickets: Annotated[int, Range(1, 16384)] = 1024  # of the whole SVM: callers on the unix socket
    tickets_per_user: Annotated[int, Range(1, 16384)] = 128
    scan_streams: Annotated[int, Range(1, 64)] = 4
    upload_stall_seconds: Annotated[float, Range(1, 600)] = 15.0
    lease_seconds: Annotated[float, Range(1, 3600)] = 60.0  # when others wait
    budget_seconds: Annotated[float, Range(1, 600)] = 600.0
    heartbeat_seconds: Annotated[float, Range(1, 600)] = 30.0
    messages_per_second: Annotated[int, Range(10, 1_000_000)] = 2000
    events_per_second: Annotated[int, Range(1, 100_000)] = 50
