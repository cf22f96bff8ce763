"""The KsnAdministration service: policies, consent and KSN, checked, handed to the port `KsnControl`.

As in `admin`, the service knows the wire and its rules. Whether a decision is about the Statement in force,
and whether a tenant may have what it asks for, is KsnControl's affair.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from lightagent.v1 import admin_pb2, admin_pb2_grpc, verdict_pb2

from appliance.domain.caller import Caller
from appliance.domain.digest import BEGINNING_RULE, is_beginning
from appliance.domain.policy import DEFAULT_TENANT, Decision, HistoryEntry, Mode
from appliance.feeds.web_address import BadUrl
from appliance.ksn.reaching import QUOTA, Step
from appliance.ksn.weburl import WebResource, parse_url
from appliance.rpc.admin_calls import (
    BadRequest,
    CallerOf,
    answered,
    checked_digest,
    checked_limit,
    checked_tenant,
    tenant_of,
)
from appliance.rpc.admin_turns import Turns
from appliance.rpc.check_url import MAX_URL_BYTES
from appliance.rpc.ksn_views import (
    TYPE_NUMBERS,
    KsnStatusView,
    LookUpView,
    PolicyChange,
    PolicyDraft,
    PolicyView,
    StatementDecision,
    check_message,
    history_message,
    ksn_status_reply,
    look_up_reply,
    policy_message,
    text_reply,
)

DEFAULT_HISTORY = 100
MAX_HISTORY = 1000

_TYPES = {number: ksn_type for ksn_type, number in TYPE_NUMBERS.items()}
_MODES: dict[int, Mode] = {int(mode): mode for mode in Mode}


class KsnControl(Protocol):
    """What the SVM does for an administrator of policies and KSN.

    Every change is durable and in force when its call returns: no request to KSN starts on the old terms,
    and those under way are cancelled. What cannot be done as things are raises ControlRefused.
    """

    def policies(self, tenant: str) -> Iterable[PolicyView]:
        """Every tenant's, by name, or one's, each when it is its turn. tenant: "" for all."""

    async def create_policy(self, draft: PolicyDraft, actor: str) -> PolicyView:
        """Begin a policy. Refused where there is one, or the decision is not about the text in force.

        Without a mode it begins in standard mode, or in the provider's where he has locked it.
        """

    async def change_policy(self, tenant: str, change: PolicyChange, actor: str) -> PolicyView:
        """Change a policy. Refused as for create_policy, and where there is none."""

    def history(self, tenant: str | None, limit: int) -> Iterable[HistoryEntry]:
        """The newest `limit` decisions and changes of settings, the newest first. tenant: None for all."""

    def statement_text(self, beginning: str, tenant: str) -> str | None:
        """A text that was decided on, by the first digits of its SHA-256. Refused where several begin so.

        tenant: whose decisions count, beside the text in force; "" for everybody's.
        """

    def ksn_status(self, tenant: str) -> KsnStatusView:
        """How KSN is used for a tenant, which need not have a policy."""

    async def check_ksn(self, tenant: str) -> Sequence[Step]:
        """Try the service, each step in its order. Refused where the tenant does not take part."""

    async def look_up(self, tenant: str, digest: bytes) -> LookUpView:
        """Ask KSN about a digest of 32 bytes. Refused where the tenant does not take part."""

    async def look_up_url(self, tenant: str, resource: WebResource) -> LookUpView:
        """Ask KSN about a web address, step by step. Refused where the tenant does not take part."""


class KsnAdministrationService(admin_pb2_grpc.KsnAdministrationServicer):
    """Serves administrators beside AdministrationService, on the same socket."""

    def __init__(self, control: KsnControl, caller: CallerOf, turns: Turns | None = None) -> None:
        """caller: who calls; ends the call itself where nobody vouches."""
        self.caller = caller
        self.turns = turns or Turns()
        self._control = control

    @answered
    async def ListPolicies(
        self, _request: admin_pb2.ListPoliciesRequest, caller: Caller
    ) -> admin_pb2.ListPoliciesReply:
        """Answer every policy that the caller sees."""
        reply, policies = admin_pb2.ListPoliciesReply(), self._control.policies(caller.tenant)
        await self.turns.each(policies, lambda policy: reply.policies.append(policy_message(policy)))
        return reply

    @answered
    async def CreatePolicy(
        self, request: admin_pb2.CreatePolicyRequest, caller: Caller
    ) -> admin_pb2.PolicyReply:
        """Begin a policy."""
        tenant = checked_tenant(tenant_of(caller, request.tenant))
        if not request.HasField("decision"):
            raise BadRequest("decision is missing: a policy begins with a decision on the KSN Statement")
        mode = _mode(request.mode) if request.mode else None
        draft = PolicyDraft(tenant, _decision(request.decision), mode, request.documents)
        view = await self._control.create_policy(draft, caller.author)
        return admin_pb2.PolicyReply(policy=policy_message(view))

    @answered
    async def ChangePolicy(
        self, request: admin_pb2.ChangePolicyRequest, caller: Caller
    ) -> admin_pb2.PolicyReply:
        """Change a policy."""
        tenant = checked_tenant(tenant_of(caller, request.tenant))
        change = PolicyChange(
            active=request.active if request.HasField("active") else None,
            mode=_mode(request.mode) if request.HasField("mode") else None,
            decision=_decision(request.decision) if request.HasField("decision") else None,
            documents=request.documents if request.HasField("documents") else None,
        )
        if change == PolicyChange():
            raise BadRequest("nothing is to change: give active, mode, documents or decision")
        view = await self._control.change_policy(tenant, change, caller.author)
        return admin_pb2.PolicyReply(policy=policy_message(view))

    @answered
    async def ListHistory(
        self, request: admin_pb2.ListHistoryRequest, caller: Caller
    ) -> admin_pb2.ListHistoryReply:
        """Answer what was decided and set."""
        tenant = tenant_of(caller, request.tenant) or None
        limit = checked_limit(request.limit, DEFAULT_HISTORY, MAX_HISTORY)
        reply, entries = admin_pb2.ListHistoryReply(), self._control.history(tenant, limit)
        await self.turns.each(entries, lambda entry: reply.entries.append(history_message(entry)))
        return reply

    @answered
    async def GetStatementText(
        self, request: admin_pb2.GetStatementTextRequest, caller: Caller
    ) -> admin_pb2.GetStatementTextReply:
        """Answer a text that was decided on."""
        return text_reply(self._control.statement_text(_beginning(request.sha256), caller.tenant))

    @answered
    async def GetKsnStatus(
        self, request: admin_pb2.GetKsnStatusRequest, caller: Caller
    ) -> admin_pb2.GetKsnStatusReply:
        """Answer whether and how KSN is used."""
        view = self._control.ksn_status(tenant_of(caller, request.tenant) or DEFAULT_TENANT)
        # How much of the quota all of them have used is not one tenant's to know.
        return ksn_status_reply(replace(view, quota_left=None) if caller.tenant else view)

    @answered
    async def CheckKsn(self, request: admin_pb2.CheckKsnRequest, caller: Caller) -> admin_pb2.CheckKsnReply:
        """Try the service."""
        checks = await self._control.check_ksn(checked_tenant(tenant_of(caller, request.tenant)))
        if caller.tenant:
            checks = [replace(step, said="") if step.what == QUOTA else step for step in checks]
        return admin_pb2.CheckKsnReply(checks=map(check_message, checks))

    @answered
    async def LookUp(self, request: admin_pb2.LookUpRequest, caller: Caller) -> admin_pb2.LookUpReply:
        """Ask KSN about a digest or a URL."""
        tenant = checked_tenant(tenant_of(caller, request.tenant))
        if request.sha256 and request.url:
            raise BadRequest("sha256 and url are both set: give exactly one of them")
        if request.url:
            return look_up_reply(await self._control.look_up_url(tenant, _web_resource(request.url)))
        return look_up_reply(await self._control.look_up(tenant, checked_digest(request.sha256)))


def _beginning(sha256: str) -> str:
    """Return the first digits of a SHA-256."""
    if not is_beginning(sha256):
        raise BadRequest(f"sha256 is {sha256[:80]!r}: {BEGINNING_RULE}")
    return sha256


def _web_resource(url: str) -> WebResource:
    """Return what can be asked about a URL that is one."""
    size = len(url.encode())
    if size > MAX_URL_BYTES:
        raise BadRequest(f"url has {size} bytes: give at most {MAX_URL_BYTES}")
    try:
        return parse_url(url)
    except BadUrl as error:
        raise BadRequest(f"url: {error}") from error


def _mode(number: verdict_pb2.KsnMode.ValueType) -> Mode:
    """Return a mode that this SVM knows."""
    mode = _MODES.get(number)
    if mode is None:
        raise BadRequest(f"mode is {int(number)}: give KSN_MODE_STANDARD or KSN_MODE_EXTENDED")
    return mode


def _decision(message: admin_pb2.KsnDecision) -> StatementDecision:
    """Return a decision whose fields are sound; whether it is about the text in force, KsnControl knows."""
    ksn_type = _TYPES.get(message.type)
    if ksn_type is None:
        raise BadRequest(f"type is {int(message.type)}: give KSN_TYPE_GLOBAL or KSN_TYPE_PRIVATE")
    if not message.version:
        raise BadRequest("version is 0: give the version of the Statement that was shown")
    decision = Decision.ACCEPT if message.accept else Decision.DECLINE
    return StatementDecision(decision, ksn_type, message.version, checked_digest(message.sha256).hex())
