"""The counters of what was over a bound: one for each setting of the limits that somebody can be over."""

GUESTS = (
    "admin_calls",
    "admin_connections",
    "connections",
    "connections_per_address",
    "digests_per_second",
    "enrolment_connections",
    "events_per_second",
    "guest_spool_mib",
    "max_file_mib",
    "max_guests",
    "message_kib",
    "messages_per_second",
    "open_checks",
    "open_digests",
    "reader_stall_seconds",
    "scan_streams",
    "sessions",
    "upload_mib_per_second",
    "upload_stall_seconds",
)
TENANTS = (
    "admin_calls",
    "digests_per_second",
    "events_per_second",
    "guests",
    "open_checks",
    "open_digests",
    "upload_mib_per_second",
)
OVER = (*(f"guest_over_{name}" for name in GUESTS), *(f"tenant_over_{name}" for name in TENANTS))


def counter_of(setting: str) -> str:
    """The counter of a setting: "limits.tenant.guests" has "tenant_over_guests"."""
    name = setting.removeprefix("limits.")
    who, _, rest = name.rpartition(".")
    return f"{who or 'guest'}_over_{rest}"
