"""Which bounds were reached, and what broke, since the SVM started."""

from collections.abc import Iterator, Mapping

from appliance.doctor.findings import Finding, amiss, note, ok

# Where the settings stand that counters are named by.
_OVER = {"guest_over_": "limits.", "tenant_over_": "limits.tenant.", "identity_over_": "identity."}

# Counters that tell of trouble: what they count, and what to do.
TROUBLE = {
    "worker_crashes": ("contents broke workers", "the log names their digests"),
    "worker_timeouts": (
        "workers were ended because a scan took too long",
        "see scanning.scan_timeout_seconds",
    ),
    "scans_refused": ("scans were refused for want of workers", "raise scanning.workers"),
    "guest_breaches": ("calls of guests were ended for breaking a rule", "the log names the guests"),
    "guest_tickets_refused": (
        "callers on a unix socket got no ticket",
        "see limits.tickets_per_user and [administrators]",
    ),
    "identity_tokens_refused": (
        "enrolments came with a token that does not count",
        "somebody may be guessing",
    ),
    "identity_no_room": (
        "changes of who is who found the register full",
        "have guests removed, or tokens taken back",
    ),
    "events_lost": ("events of the SVM were lost, too many at once", "`svm events --kind loss`"),
    "events_over_budget": ("events of guests were not kept", "`svm events --kind loss` names them"),
    "cache_writes_lost": ("verdicts could not be written", "see that the disk has room"),
    "exposure_dropped": ("holdings of digests were not entered, for want of room", "raise exposure.max_mib"),
}
# Figures that are 1 while something does not work.
FAILING = {
    "events_failing": "events cannot be written: see that the disk has room and is sound",
    "exposure_failing": "who holds which file cannot be written: see that the disk has room and is sound",
    "ksn_ledger_failing": "the disclosure ledger cannot be written, so nothing is sent to KSN: see the disk",
}


def limit_findings(figures: Mapping[str, float], uptime: str) -> Iterator[Finding]:
    """What the figures of a running SVM tell. uptime: since when they count, "3 h"."""
    for name, why in FAILING.items():
        if figures.get(name):
            yield amiss("failing", why)
    ready, wanted = int(figures.get("workers_ready", 0)), int(figures.get("workers", 0))
    if ready < wanted:
        yield amiss("workers", f"{ready} of {wanted} are ready: the log says why the others do not start")
    else:
        yield ok("workers", f"{ready} are ready")
    over = {_setting(name): int(count) for name, count in sorted(figures.items()) if _setting(name) and count}
    for what, count in over.items():
        yield note("limit", f"{what} was reached {count:,} times in {uptime}: docs/operations.md, Limits")
    if not over:
        yield ok("limits", f"none was reached in {uptime}")
    for name, (what, remedy) in TROUBLE.items():
        if count := int(figures.get(name, 0)):
            yield note("since the start", f"{count:,} {what}, in {uptime}: {remedy}")


def _setting(name: str) -> str:
    """The setting of a counter, "" where it is of none."""
    found = ((over, table) for over, table in _OVER.items() if name.startswith(over))
    return "".join(table + name.removeprefix(over) for over, table in found)
