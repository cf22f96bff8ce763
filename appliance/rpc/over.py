"""The counters of what was over a bound: one for each setting of the limits that somebody can be over."""

GUESTS = (
    "admin_calls",
    "admin_connections",
    "admin_ending",
    "connections",
    "connections_per_address",
    "digests_per_second",
    "enrolment_connections",
    "event_readers",
    "events_per_second",
    "file_readers",
    "first_places",
    "guest_spool_mib",
    "health_calls",
    "images",
    "max_file_mib",
    "max_guests",
    "message_kib",
    "messages_per_second",
    "open_checks",
    "open_digests",
    "open_urls",
    "reader_stall_seconds",
    "scan_readers",
    "scan_streams",
    "sessions",
    "upload_mib_per_second",
    "upload_stall_seconds",
    "urls_per_second",
)
TENANTS = (
    "admin_calls",
    "digests_per_second",
    "event_readers",
    "events_per_second",
    "file_readers",
    "guests",
    "images",
    "open_checks",
    "open_digests",
    "scan_readers",
    "upload_mib_per_second",
)
OVER = (*(f"guest_over_{name}" for name in GUESTS), *(f"tenant_over_{name}" for name in TENANTS))


def counter_of(setting: str) -> str:
    """The counter of a setting: "limits.tenant.guests" has "tenant_over_guests"."""
    name = setting.removeprefix("limits.")
    who, _, rest = name.rpartition(".")
    return f"{who or 'guest'}_over_{rest}"
