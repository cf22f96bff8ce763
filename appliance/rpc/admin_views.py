"""What the SVM shows an administrator, as values and as messages of the wire."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from google.protobuf.timestamp_pb2 import Timestamp
from lightagent.v1 import admin_pb2, verdict_pb2

from appliance.domain.caller import Caller, Role
from appliance.domain.override import Override
from appliance.domain.policy import DEFAULT_TENANT
from appliance.domain.verdict import Verdict
from appliance.rpc import wire
from appliance.scanning.result import EngineState, SignatureSource
from appliance.state.store import AuditEntry

MAX_PROBLEMS = 100
MAX_SOURCES_BYTES = 900_000  # of the 1 MiB that a message may have
_FRAME_BYTES = 8  # around a message within another


@dataclass(frozen=True, slots=True)
class GuestView:
    """An attached guest. attached_at: seconds since the epoch. The names are the guest's own words."""

    id: str
    host_name: str
    stub_version: str
    attached_at: float
    digests_asked: int
    bytes_uploaded: int
    tenant: str = DEFAULT_TENANT


@dataclass(frozen=True, slots=True)
class StatusView:
    """What the SVM is doing. started_at: seconds since the epoch. guests: to be gone through once."""

    version: str
    started_at: float
    generation: int
    guests: Iterable[GuestView]
    engines: tuple[EngineState, ...]
    unsandboxed: bool


@dataclass(frozen=True, slots=True)
class VerdictView:
    """All that is known of a digest.

    verdict: the cache's entry, of whatever generation, None where there is none. scope: whose entry
    it is, tenant: the same by name, "" where it is no single tenant's. current: made by the generation in
    use. override: the one in force, override_of: the tenant for which it counts, "" for everybody.
    """

    verdict: Verdict | None
    scope: int
    current: bool
    override: Override | None
    tenant: str = ""
    override_of: str = ""


def timestamp(seconds: float) -> Timestamp | None:
    """Return seconds since the epoch as a message; None for 0, which stands for no time at all."""
    return Timestamp(seconds=int(seconds)) if seconds else None


def status_reply(view: StatusView, figures: dict[str, float]) -> admin_pb2.GetStatusReply:
    """Return the answer to GetStatus, but for the guests, which may be many."""
    return admin_pb2.GetStatusReply(
        version=view.version,
        started=timestamp(view.started_at),
        generation=view.generation,
        engines=[_engine(engine) for engine in view.engines],
        figures=figures,
        unsandboxed=view.unsandboxed,
    )


def verdict_reply(view: VerdictView, caller: Caller) -> admin_pb2.GetVerdictReply:
    """Return the answer to GetVerdict.

    Why the provider has said something, and who did for him, may tell of another tenant: a caller of one
    tenant is not told.
    """
    override = view.override
    if override is not None and caller.tenant and not view.override_of:
        override = replace(override, reason="", author=Role.PROVIDER.value)
    return admin_pb2.GetVerdictReply(
        known=view.verdict is not None or view.override is not None,
        verdict=None if view.verdict is None else _stored(view.verdict, view),
        override=None if override is None else override_message(override, view.override_of),
    )


def override_message(override: Override, tenant: str) -> admin_pb2.Override:
    """Return an override as a message. tenant: for which it counts, "" for everybody."""
    return admin_pb2.Override(
        allow=override.allow,
        reason=override.reason,
        expires=timestamp(override.expires_at),
        author=override.author,
        set=timestamp(override.set_at),
        tenant=tenant,
    )


def source_message(source: SignatureSource) -> admin_pb2.SignatureSource:
    """Return a source as a message, with the first problems and how many more there are."""
    problems = list(source.problems[:MAX_PROBLEMS])
    if len(source.problems) > MAX_PROBLEMS:
        problems.append(f"and {len(source.problems) - MAX_PROBLEMS} more")
    return admin_pb2.SignatureSource(
        engine=source.engine, path=source.path, signatures=source.signatures, problems=problems
    )


def source_messages(
    sources: Sequence[SignatureSource], most_bytes: int = MAX_SOURCES_BYTES
) -> list[admin_pb2.SignatureSource]:
    """Return sources as messages that together fit a reply; what does not fit is counted in the last one."""
    messages: list[admin_pb2.SignatureSource] = []
    left = most_bytes
    for index, source in enumerate(sources):
        message = source_message(source)
        left -= message.ByteSize() + _FRAME_BYTES
        if left < 0:
            rest = sources[index:]
            problems = sum(len(each.problems) for each in rest)
            message = admin_pb2.SignatureSource(
                path=f"and {len(rest)} more files", signatures=sum(each.signatures for each in rest)
            )
            if problems:
                message.problems.append(f"{problems} problems of these: see `svm signatures test`")
            return [*messages, message]
        messages.append(message)
    return messages


def audit_message(entry: AuditEntry) -> admin_pb2.AuditEntry:
    """Return an entry of the audit as a message."""
    return admin_pb2.AuditEntry(
        at=timestamp(entry.at),
        author=entry.actor,
        action=entry.action,
        sha256=entry.digest,
        reason=entry.reason,
        subject=entry.subject,
        before=entry.before,
        after=entry.after,
        expires=timestamp(entry.expires_at),
        tenant=entry.tenant,
    )


def _stored(verdict: Verdict, view: VerdictView) -> admin_pb2.StoredVerdict:
    return admin_pb2.StoredVerdict(
        outcome=verdict_pb2.Outcome.ValueType(int(verdict.disposition)),
        detail=wire.verdict_detail(0, verdict),
        generation=verdict.generation,
        stored=timestamp(verdict.stored_at),
        expires=timestamp(verdict.expires_at),
        current=view.current,
        scope=view.scope,
        tenant=view.tenant,
    )


def guest_message(guest: GuestView) -> admin_pb2.GuestStatus:
    """Return an attached guest as a message."""
    return admin_pb2.GuestStatus(
        id=guest.id,
        host_name=guest.host_name,
        stub_version=guest.stub_version,
        attached=timestamp(guest.attached_at),
        digests_asked=guest.digests_asked,
        bytes_uploaded=guest.bytes_uploaded,
        tenant=guest.tenant,
    )


def _engine(engine: EngineState) -> admin_pb2.EngineStatus:
    return admin_pb2.EngineStatus(
        name=engine.name,
        version=engine.version,
        ready=engine.ready,
        problem=engine.problem,
        signatures=engine.signatures,
    )
