"""The settings of what guests and administrators may ask for: a part of `config`, and used through it.

What is over a bound is refused with a sentence, or waits; who it was is counted under `guest_over_<setting>`,
or `tenant_over_<setting>` (docs/operations.md).
"""

from dataclasses import dataclass, field
from typing import Annotated

from appliance.config_forms import Range


@dataclass(frozen=True, slots=True)
class TenantLimits:
    """What all guests of one tenant may ask for together, and its administrators.

    guests: 0 for as many as limits.max_guests. digests_per_second, upload_mib_per_second, spool_percent count
    while guests of other tenants are here.
    """

    guests: Annotated[int, Range(0, 4096)] = 0
    admin_calls: Annotated[int, Range(1, 256)] = 4  # of its administrators, as the next four
    event_readers: Annotated[int, Range(1, 256)] = 4
    scan_readers: Annotated[int, Range(1, 256)] = 4
    file_readers: Annotated[int, Range(1, 256)] = 2
    images: Annotated[int, Range(1, 256)] = 4  # of one host agent, rather
    open_checks: Annotated[int, Range(1, 1_000_000)] = 4096
    open_digests: Annotated[int, Range(1, 10_000_000)] = 131_072
    digests_per_second: Annotated[int, Range(100, 10_000_000)] = 80_000
    upload_mib_per_second: Annotated[int, Range(1, 65536)] = 64
    events_per_second: Annotated[int, Range(1, 1_000_000)] = 1000
    spool_percent: Annotated[int, Range(10, 100)] = 75


@dataclass(frozen=True, slots=True)
class Limits:
    """What guests and administrators may ask for. Those that are not of the whole SVM are of one guest each.

    digests_per_second, upload_mib_per_second: beside ten others or more, beside fewer in proportion more.
    new_connections_per_second: of one address at one door on TCP; counted by `packet_filter`, not by us.
    """

    max_file_mib: Annotated[int, Range(1, 4096)] = 256
    spool_mib: Annotated[int, Range(1, 65536)] = 512  # all guests' uploads together
    guest_spool_mib: Annotated[int, Range(1, 65536)] = 256
    max_batch: Annotated[int, Range(1, 8192)] = 1024
    message_kib: Annotated[int, Range(512, 1024)] = 1024
    open_checks: Annotated[int, Range(1, 1024)] = 64
    open_digests: Annotated[int, Range(1, 1_000_000)] = 8192  # not settled yet
    max_guests: Annotated[int, Range(1, 4096)] = 256  # of the whole SVM
    sessions: Annotated[int, Range(1, 64)] = 8
    max_tickets: Annotated[int, Range(1, 16384)] = 1024  # of the whole SVM: callers on the unix socket
    tickets_per_user: Annotated[int, Range(1, 16384)] = 128
    connections: Annotated[int, Range(16, 65536)] = 2048  # of the whole SVM
    enrolment_connections: Annotated[int, Range(16, 65536)] = 256  # of that door, of the whole SVM
    admin_connections: Annotated[int, Range(16, 65536)] = 1024  # of each of those doors, of the whole SVM
    admin_calls: Annotated[int, Range(2, 1024)] = 16  # of the whole SVM, as the next six
    admin_ending: Annotated[int, Range(2, 4096)] = 256  # that revoke or remove
    event_readers: Annotated[int, Range(2, 1024)] = 16
    scan_readers: Annotated[int, Range(2, 1024)] = 16
    file_readers: Annotated[int, Range(2, 1024)] = 8
    images: Annotated[int, Range(2, 256)] = 8
    first_places: Annotated[int, Range(0, 4096)] = 256  # beside each of these, for who has none
    connections_per_address: Annotated[int, Range(1, 65536)] = 64
    new_connections_per_second: Annotated[int, Range(1, 100_000)] = 20  # by the packet filter
    handshake_seconds: Annotated[float, Range(1, 120)] = 10.0
    health_calls: Annotated[int, Range(2, 1024)] = 16  # of each door: questions, and as many that watch
    scan_streams: Annotated[int, Range(1, 64)] = 4
    upload_stall_seconds: Annotated[float, Range(1, 600)] = 15.0
    reader_stall_seconds: Annotated[float, Range(1, 600)] = 15.0
    lease_seconds: Annotated[float, Range(1, 3600)] = 60.0  # when others wait
    budget_seconds: Annotated[float, Range(1, 600)] = 600.0
    heartbeat_seconds: Annotated[float, Range(1, 600)] = 30.0
    messages_per_second: Annotated[int, Range(10, 1_000_000)] = 2000
    digests_per_second: Annotated[int, Range(100, 10_000_000)] = 10_000
    upload_mib_per_second: Annotated[int, Range(1, 65536)] = 8
    events_per_second: Annotated[int, Range(1, 100_000)] = 50
    urls_per_second: Annotated[int, Range(1, 10_000)] = 50
    open_urls: Annotated[int, Range(1, 1024)] = 16
    tenant: TenantLimits = field(default_factory=TenantLimits)
