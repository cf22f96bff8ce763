"""Which bounds were reached, and what broke, since the SVM started."""

from collections.abc import Iterator, Mapping

from appliance.doctor.findings import Finding, amiss, note, ok

_OVER = ("guest_over_", "tenant_over_")

# Counters that tell of trouble: what they count, and what to do.
TROUBLE = {
    "worker_crashes": ("contents broke workers", "the log names their digests"),
    "worker_timeouts": (
        "workers were ended because a scan took too long",
        "see scanning.scan_timeout_seconds",
    ),
    "scans_refused": ("scans were refused for want of workers", "raise scanning.workers"),
    "guest_breaches": ("calls of guests were ended for breaking a rule", "the log names the guests"),
    "guest_tickets_refused": ("callers on the unix socket were too many", "see limits.tickets_per_user"),
    "identity_tokens_refused": (
        "enrolments came with a token that does not count",
        "somebody may be guessing",
    ),
    "identity_enrolments_limited": ("enrolments were too many", "see identity.enrolments_per_minute"),
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
    over = {name: int(count) for name, count in sorted(figures.items()) if name.startswith(_OVER) and count}
    for name, count in over.items():
        what = "limits.tenant." + name.removeprefix(_OVER[1]) if name.startswith(_OVER[1]) else _setting(name)
        yield note("limit", f"{what} was reached {count:,} times in {uptime}: docs/operations.md, Limits")
    if not over:
        yield ok("limits", f"none was reached in {uptime}")
    for name, (what, remedy) in TROUBLE.items():
        if count := int(figures.get(name, 0)):
            yield note("since the start", f"{count:,} {what}, in {uptime}: {remedy}")


def _setting(name: str) -> str:
    return f"limits.{name.removeprefix(_OVER[0])}"
