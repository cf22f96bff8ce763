"""Who takes part in KSN, and whether it is asked."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lightagent.v1 import admin_pb2, verdict_pb2

from appliance.config import KsnSettings
from appliance.doctor.findings import Finding, amiss, note, ok, several

LITTLE_QUOTA = 0.1  # of the day's: below it is said


@dataclass(frozen=True, slots=True)
class KsnSaid:
    """What the SVM says. checks: what came of asking the service now, where that was wanted, by tenant."""

    status: admin_pb2.GetKsnStatusReply
    taking_part: Sequence[str] = ()
    tenants: int = 0
    checks: Mapping[str, Sequence[admin_pb2.KsnCheck]] = field(default_factory=dict)


def takes_part(policy: admin_pb2.TenantPolicy) -> bool:
    """Whether KSN is asked on behalf of a tenant."""
    return policy.participation.state not in (
        verdict_pb2.KSN_STATE_OFF,
        verdict_pb2.KSN_STATE_UNSPECIFIED,
    )


def setting_findings(settings: KsnSettings, owner: int) -> Iterator[Finding]:
    """What the settings alone tell, whether an SVM runs or not. owner: the user that the SVM runs as."""
    if not settings.enabled:
        yield note("KSN", "not used: ksn.enabled is false")
        return
    for setting in ("api_key_file", "certificate_key_file"):
        path = getattr(settings, setting)
        if path is None:
            continue
        try:
            status = os.stat(path)
        except OSError as error:
            yield amiss("KSN key", f"ksn.{setting}: {path}: {error.strerror}; put the key there")
            continue
        if owner not in (0, status.st_uid):
            whose = f"is of user {status.st_uid}, and the SVM runs as user {owner}"
            yield amiss("KSN key", f"ksn.{setting}: {path} {whose}: `chown {owner} {path}`")
        elif status.st_mode & 0o077:
            yield amiss("KSN key", f"ksn.{setting}: others than its owner may use {path}: `chmod 600 {path}`")
        else:
            yield ok("KSN key", f"{path} is for its owner alone")


def ksn_findings(said: KsnSaid, settings: KsnSettings) -> Iterator[Finding]:
    """How an SVM that serves does with KSN."""
    status = said.status
    if not status.enabled:
        return
    if said.taking_part:
        yield ok(
            "KSN tenants", f"{len(said.taking_part)} of {said.tenants} take part: {several(said.taking_part)}"
        )
    else:
        yield note("KSN tenants", "none takes part, so nothing is asked: `svm policy create`")
    if status.breaker == "closed":
        yield ok("KSN service", f"{status.service} is asked")
    else:
        yield amiss(
            "KSN service", f"{status.service} is left alone, since it failed: `svm ksn check` says why"
        )
    if status.HasField("quota_left"):
        yield _quota(status.quota_left, settings.per_day)
    for notice in status.notices:
        yield note("KSN", f"{notice.call}: {notice.said}")
    for tenant, checks in said.checks.items():
        for check in checks:
            yield Finding(f"KSN {check.what}", check.good, f"{check.said} (asked for {tenant})")


def _quota(left: int, most: int) -> Finding:
    said = f"{left:,} of the day's {most:,} questions are left"
    if not left:
        return amiss("KSN quota", f"{said}: contents are scanned here without it; see ksn.per_day")
    return (
        note("KSN quota", f"{said}; see ksn.per_day") if left < LITTLE_QUOTA * most else ok("KSN quota", said)
    )
