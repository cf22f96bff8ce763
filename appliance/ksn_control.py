"""What an administrator asks of policies and KSN: the port `KsnControl` of rpc/ksn_admin.py, over its parts.

A change is made whole: on the disk first, then in force, then what is under way on the old terms is ended.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence

from appliance.changes import Changes
from appliance.domain.guest import DEFAULT_TENANT_SCOPE, Guest
from appliance.domain.policy import DEFAULT_TENANT, Decision, HistoryEntry, Mode, Policy
from appliance.ksn.asker import Asker, Standing, Unknown
from appliance.ksn.asking import Outcome
from appliance.ksn.at_home import AT_HOME, SENTENCE
from appliance.ksn.checking import check
from appliance.ksn.network import Ksn
from appliance.ksn.reaching import Step
from appliance.ksn.reputation import Call, Subject
from appliance.ksn.statement import shown_hash, version_in_force
from appliance.ksn.web import look_up, may_ask
from appliance.ksn.weburl import WebResource
from appliance.ksn_assembly import KsnParts
from appliance.ksn_taken import notices, taken
from appliance.rpc.admin_calls import ControlRefused
from appliance.rpc.ksn_views import (
    KsnStatusView,
    LookUpView,
    PolicyChange,
    PolicyDraft,
    PolicyView,
    StatementDecision,
)
from appliance.state.environment import StateError
from appliance.state.policies import Decided, PolicyRefused
from appliance.state.policies import PolicyChange as StoredChange

LOOK_UP_SECONDS = 10.0
_HELD = (
    ". KSN is off for this tenant all the same, until a change of its policy is written or the SVM is "
    "started anew; after that it would be used as before: give this command again once there is room"
)
_NO_SCOPE = 0xFFFFFFFF  # of a tenant without a policy: nobody's


class PolicyControl:
    """Implements KsnControl. on_changed: called with each change that is in force, and who made it."""

    def __init__(self, parts: KsnParts) -> None:
        self.on_changed: list[Callable[[Policy, str], None]] = []
        self._parts = parts
        self._changing = asyncio.Lock()
        self._changes = Changes()

    def policies(self, tenant: str) -> Iterator[PolicyView]:
        """Every tenant's, by name, or one's."""
        if not tenant:
            return map(self._view, self._parts.policies.policies())
        policy = self._parts.policies.policy(tenant)
        return iter(() if policy is None else (self._view(policy),))

    async def create_policy(self, draft: PolicyDraft, actor: str) -> PolicyView:
        """Begin a policy, with its decision."""
        decided = self._decided(draft.decision)
        mode = self._first_mode(draft.mode)
        self._check_documents(draft.documents)
        create = self._parts.policies.create
        return await self._change(lambda: create(draft.tenant, mode, decided, actor, draft.documents), actor)

    async def change_policy(self, tenant: str, change: PolicyChange, actor: str) -> PolicyView:
        """Change a policy. Who declines is never refused."""
        terms, decision = self._parts.participants.terms, change.decision
        if change.mode is not None:
            self._check_mode_change(change)
        if decision is not None and decision.decision is Decision.ACCEPT and "participation" in terms.locked:
            self._check_participation(tenant)
        if change.documents and "documents" in terms.locked:
            raise ControlRefused("the provider has locked documents (ksn.locked): they can be forbidden only")
        self._check_documents(change.documents is True)
        decided = None if decision is None else self._decided(decision)
        what = StoredChange(change.active, change.mode, decided, change.documents)
        held = _narrows(change) and self._hold(tenant)
        return await self._change(lambda: self._parts.policies.change(tenant, what, actor), actor, held)

    def history(self, tenant: str | None, limit: int) -> Iterator[HistoryEntry]:
        """The newest decisions and changes."""
        return self._parts.policies.history(tenant, limit)

    def statement_text(self, beginning: str, tenant: str) -> str | None:
        """A text that was decided on; of a tenant's those, and the one in force."""
        in_force = self._parts.participants.terms.text
        try:
            found = self._parts.policies.texts(beginning, tenant)
        except StateError as error:
            raise ControlRefused(str(error)) from error
        if tenant and shown_hash(in_force).startswith(beginning) and in_force not in found:
            found.append(in_force)
        if len(found) > 1:
            raise ControlRefused(f"several texts begin with {beginning} in their SHA-256: give more digits")
        return found[0] if found else None

    def ksn_status(self, tenant: str) -> KsnStatusView:
        """How KSN is used for a tenant."""
        parts, terms = self._parts, self._parts.participants.terms
        policy = parts.policies.policy(tenant)
        usual = DEFAULT_TENANT_SCOPE if tenant == DEFAULT_TENANT else _NO_SCOPE
        network = parts.network
        return KsnStatusView(
            parts.participation(usual if policy is None else policy.scope),
            terms.enabled,
            terms.type,
            terms.mode_limit,
            "" if network is None else network.asking.service_name,
            terms.shared,
            terms.locked,
            "" if network is None else network.asking.breaker_state.value,
            None if network is None else network.asking.quota_left(),
            terms.documents,
            tuple(call.value for call in taken(parts)),
            tuple((notice.call.value, notice.said) for notice in notices(parts)),
        )

    async def check_ksn(self, tenant: str) -> Sequence[Step]:
        """Try the service, step by step."""
        network, asker = self._asker(tenant, "svm ksn check")
        assert self._parts.place is not None
        return await check(network, self._parts.place, asker)

    async def look_up(self, tenant: str, digest: bytes) -> LookUpView:
        """Ask about a digest on behalf of a tenant."""
        network, asker = self._asker(tenant, "svm ksn lookup")
        if digest in AT_HOME:
            raise ControlRefused(f"nothing was sent: {SENTENCE}")
        outcome = await network.look_up(asker, digest, LOOK_UP_SECONDS)
        return _view_of(outcome, Subject(Call.HASH, digest.hex()))

    async def look_up_url(self, tenant: str, resource: WebResource) -> LookUpView:
        """Ask about a web address on behalf of a tenant."""
        network, asker = self._asker(tenant, "svm ksn lookup")
        if not may_ask(asker, resource):
            raise ControlRefused(
                "nothing was sent: this host is known in its own network only, and the service is outside"
            )
        said = await look_up(network.asking, asker, resource, LOOK_UP_SECONDS)
        return _view_of(said.outcome, said.subject)

    def _asker(self, tenant: str, actor: str) -> tuple[Ksn, Asker]:
        """On whose behalf something is asked, or ControlRefused."""
        policy, network = self._parts.policies.policy(tenant), self._parts.network
        scope = _NO_SCOPE if policy is None else policy.scope
        asker = self._parts.participants.asker(Guest(actor, scope), Standing.HOUSE)
        if network is None or asker is None:
            why = self._parts.participants.participation(scope).reasons[0][1]
            raise ControlRefused(f"nothing was sent: {why}")
        return network, asker

    def _hold(self, tenant: str) -> bool:
        """Have nothing asked for a tenant from now on, before it is written that it wants less.

        If that cannot be written it stays so until something can, or until the SVM starts anew. False where
        the tenant has no policy.
        """
        policy = self._parts.policies.policy(tenant)
        if policy is None:
            return False
        self._parts.participants.hold(policy.scope)
        self._withdraw(policy.scope)
        return True

    def _put(self, policy: Policy) -> None:
        """Put a policy in force, and end what is under way on the old terms."""
        self._parts.participants.put(policy)
        self._withdraw(policy.scope)

    def _withdraw(self, scope: int) -> None:
        if self._parts.network is not None:
            self._parts.network.withdraw(scope)

    def _check_participation(self, tenant: str) -> None:
        """ControlRefused for one that would begin to take part. Who does may accept a newer text."""
        policy = self._parts.policies.policy(tenant)
        if policy is not None and policy.accepted(self._parts.participants.terms.type) is None:
            raise ControlRefused("the provider has locked participation (ksn.locked): it can be ended only")

    def _first_mode(self, wanted: Mode | None) -> Mode:
        """The mode in which a policy begins; ControlRefused where that may not be the one that is wanted."""
        terms = self._parts.participants.terms
        if "mode" not in terms.locked:
            self._check_mode(wanted or Mode.STANDARD)
            return wanted or Mode.STANDARD
        if wanted not in (None, terms.mode_limit):
            raise ControlRefused(
                "the provider has locked the mode (ksn.locked): a policy begins in "
                f"{terms.mode_limit.name.lower()} mode, and in no other"
            )
        return terms.mode_limit

    def _check_mode_change(self, change: PolicyChange) -> None:
        if "mode" in self._parts.participants.terms.locked:
            also = "" if change.decision is None else "; nothing was changed: give the decision alone"
            raise ControlRefused(f"the provider has locked the mode (ksn.locked): it stays as it is{also}")
        assert change.mode is not None
        self._check_mode(change.mode)

    def _check_mode(self, mode: Mode) -> None:
        limit = self._parts.participants.terms.mode_limit
        if mode > limit:
            wanted, allowed = mode.name.lower(), limit.name.lower()
            raise ControlRefused(f"{wanted} mode is wider than the provider allows: choose {allowed}")

    def _check_documents(self, documents: bool) -> None:
        if documents and not self._parts.participants.terms.documents:
            raise ControlRefused(
                "the provider does not allow that documents are handed over (ksn.submit.documents): choose no"
            )

    def _decided(self, decision: StatementDecision) -> Decided:
        """The decision with the text that it is about; ControlRefused where that is not in force.

        Who declines needs no text: it is taken for one of that in force, whatever he was shown.
        """
        terms = self._parts.participants.terms
        if decision.decision is Decision.DECLINE:
            return Decided(Decision.DECLINE, terms.type, version_in_force(terms.type), terms.text)
        if decision.type is not terms.type:
            raise ControlRefused(
                f"the provider has set the {terms.type} type: the decision must be on its Statement"
            )
        in_force = version_in_force(terms.type)
        if decision.version != in_force or decision.sha256 != shown_hash(terms.text):
            raise ControlRefused(
                f"the decision is not about the Statement in force, version {in_force} and what the "
                "provider added: read it (svm ksn statement show) and decide on that"
            )
        return Decided(decision.decision, terms.type, in_force, terms.text)

    async def _change(self, change: Callable[[], Policy], actor: str, held: bool = False) -> PolicyView:
        """Make a change, also when who asked for it goes away: begun is done. held: KSN is off meanwhile."""
        return await self._changes.whole(self._make(change, actor, held))

    async def _make(self, change: Callable[[], Policy], actor: str, held: bool) -> PolicyView:
        async with self._changing:
            try:
                policy = await asyncio.to_thread(change)
            except PolicyRefused as error:
                raise ControlRefused(str(error)) from error
            except StateError as error:
                raise ControlRefused(f"{error}{_HELD if held else ''}") from error
            self._put(policy)
            for told in self.on_changed:
                told(policy, actor)
            return self._view(policy)

    def _view(self, policy: Policy) -> PolicyView:
        return PolicyView(policy, self._parts.participation(policy.scope))


def _narrows(change: PolicyChange) -> bool:
    """Whether less may leave after a change than before, or may perhaps."""
    declines = change.decision is not None and change.decision.decision is Decision.DECLINE
    takes_back = change.active is False or change.documents is False
    return declines or takes_back or change.mode is Mode.STANDARD


def _view_of(outcome: Outcome, subject: Subject) -> LookUpView:
    """What an administrator is shown of an answer, or of none."""
    query = f"?{subject.query}" if subject.query else ""
    asked = f"{subject.call} {subject.value}{query}"
    if isinstance(outcome, Unknown):
        return LookUpView(None, outcome.reason, asked)
    return LookUpView(outcome, asked=asked)
