"""Policies, consent and KSN as an administrator decides on them and is shown them: values, and messages."""

from dataclasses import dataclass

from lightagent.v1 import admin_pb2, verdict_pb2

from appliance.domain.participation import Participation
from appliance.domain.policy import Consent, Decision, HistoryEntry, KsnType, Mode, Policy
from appliance.ksn.reaching import Step
from appliance.ksn.reputation import Answer
from appliance.ksn.statement import shown_hash
from appliance.ksn.zones import RULINGS
from appliance.rpc.admin_views import timestamp

TYPE_NUMBERS = {
    KsnType.GLOBAL: verdict_pb2.KSN_TYPE_GLOBAL,
    KsnType.PRIVATE: verdict_pb2.KSN_TYPE_PRIVATE,
}


@dataclass(frozen=True, slots=True)
class StatementDecision:
    """What somebody says to a Statement. sha256: of the text that he was shown, in hexadecimal."""

    decision: Decision
    type: KsnType
    version: int
    sha256: str


@dataclass(frozen=True, slots=True)
class PolicyDraft:
    """A policy that is to begin. mode: the widest that the tenant wants, None where it names none.

    documents: whether it allows that they are handed over.
    """

    tenant: str
    decision: StatementDecision
    mode: Mode | None = None
    documents: bool = False


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """What is to change in a policy; None stays as it is. At least one is set."""

    active: bool | None = None
    mode: Mode | None = None
    decision: StatementDecision | None = None
    documents: bool | None = None


@dataclass(frozen=True, slots=True)
class PolicyView:
    """A policy, and what follows from it now."""

    policy: Policy
    participation: Participation


@dataclass(frozen=True, slots=True)
class KsnStatusView:
    """KSN for one tenant and as the provider has set it.

    service: as the ledger has it. locked: settings that tenants may not change. breaker: "closed", "open"
    or "half open", "" while KSN is not enabled. quota_left: questions left today, None for no limit.
    documents_allowed: whether tenants may allow that documents are handed over. takes: what the service does,
    as far as is known, "hash" for example. notices: what of that which would be sent is not, or not now, each
    with a sentence.
    """

    participation: Participation
    enabled: bool
    type: KsnType
    mode_limit: Mode
    service: str
    shared_between_tenants: bool = False
    locked: tuple[str, ...] = ()
    breaker: str = ""
    quota_left: int | None = None
    documents_allowed: bool = False
    takes: tuple[str, ...] = ()
    notices: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class LookUpView:
    """What KSN says. answer: None where there is none; why_not: then a sentence that says why.

    asked: what it is about, "url URL" for example.
    """

    answer: Answer | None
    why_not: str = ""
    asked: str = ""


def participation_message(participation: Participation) -> verdict_pb2.KsnParticipation:
    """Return how KSN is used on behalf of a tenant as a message, for its administrators and its guests."""
    return verdict_pb2.KsnParticipation(
        state=verdict_pb2.KsnState.ValueType(int(participation.state)),
        type=_type_number(participation.type),
        mode=_mode_number(participation.mode),
        reasons=[verdict_pb2.KsnReason.ValueType(int(reason)) for reason, _ in participation.reasons],
        sentences=[sentence for _, sentence in participation.reasons],
        statement_accepted=participation.accepted,
        statement_in_force=participation.in_force,
        documents=participation.documents,
    )


def policy_message(view: PolicyView) -> admin_pb2.TenantPolicy:
    """Return a policy as a message, its decisions by type."""
    policy = view.policy
    return admin_pb2.TenantPolicy(
        tenant=policy.tenant,
        scope=policy.scope,
        active=policy.active,
        mode=_mode_number(policy.mode),
        decided=[consent_message(policy.decided[type_]) for type_ in sorted(policy.decided)],
        participation=participation_message(view.participation),
        documents=policy.documents,
    )


def consent_message(consent: Consent) -> admin_pb2.Consent:
    """Return a decision of the history as a message."""
    return admin_pb2.Consent(
        number=consent.number,
        at=timestamp(consent.at),
        tenant=consent.tenant,
        author=consent.actor,
        decision=admin_pb2.KsnDecision(
            accept=consent.decision is Decision.ACCEPT,
            type=_type_number(consent.type),
            version=consent.version,
            sha256=bytes.fromhex(consent.sha256),
        ),
    )


def history_message(entry: HistoryEntry) -> admin_pb2.HistoryEntry:
    """Return an entry of the history as a message."""
    if isinstance(entry, Consent):
        return admin_pb2.HistoryEntry(decision=consent_message(entry))
    return admin_pb2.HistoryEntry(
        settings=admin_pb2.SettingsChange(
            number=entry.number,
            at=timestamp(entry.at),
            tenant=entry.tenant,
            author=entry.actor,
            active=entry.active,
            mode=_mode_number(entry.mode),
            documents=entry.documents,
        )
    )


def text_reply(text: str | None) -> admin_pb2.GetStatementTextReply:
    """Return the answer to GetStatementText."""
    if text is None:
        return admin_pb2.GetStatementTextReply()
    return admin_pb2.GetStatementTextReply(known=True, sha256=bytes.fromhex(shown_hash(text)), text=text)


def ksn_status_reply(view: KsnStatusView) -> admin_pb2.GetKsnStatusReply:
    """Return the answer to GetKsnStatus."""
    return admin_pb2.GetKsnStatusReply(
        participation=participation_message(view.participation),
        enabled=view.enabled,
        type=_type_number(view.type),
        mode_limit=_mode_number(view.mode_limit),
        service=view.service,
        shared_between_tenants=view.shared_between_tenants,
        locked=view.locked,
        breaker=view.breaker,
        quota_left=view.quota_left,
        documents_allowed=view.documents_allowed,
        takes=view.takes,
        notices=[admin_pb2.KsnNotice(call=call, said=said) for call, said in view.notices],
    )


def check_message(step: Step) -> admin_pb2.KsnCheck:
    """Return one thing that was tried as a message."""
    return admin_pb2.KsnCheck(what=step.what, good=step.good, said=step.said)


def look_up_reply(view: LookUpView) -> admin_pb2.LookUpReply:
    """Return the answer to LookUp."""
    answer = view.answer
    if answer is None:
        return admin_pb2.LookUpReply(why_not=view.why_not, asked=view.asked)
    disposition = RULINGS[answer.zone].disposition
    return admin_pb2.LookUpReply(
        zone=answer.zone,
        threat=answer.threat,
        category=answer.category,
        program=answer.program,
        outcome=verdict_pb2.Outcome.ValueType(0 if disposition is None else int(disposition)),
        asked=view.asked,
    )


def _type_number(ksn_type: KsnType | None) -> verdict_pb2.KsnType.ValueType:
    return verdict_pb2.KSN_TYPE_UNSPECIFIED if ksn_type is None else TYPE_NUMBERS[ksn_type]


def _mode_number(mode: Mode | None) -> verdict_pb2.KsnMode.ValueType:
    return verdict_pb2.KsnMode.ValueType(0 if mode is None else int(mode))
