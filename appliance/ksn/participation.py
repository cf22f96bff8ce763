"""The gate: on whose behalf KSN may be asked, on which terms. Nothing leaves that does not pass here.

Open only where the provider has enabled KSN, the tenant's policy is active, and the tenant has accepted
the Statement of the type in force. Who accepted an earlier version takes part under that one until it decides
anew; `FIELDS` says what each version allows.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from appliance.domain.guest import Guest
from appliance.domain.participation import KsnState, Participation, Reason
from appliance.domain.policy import Consent, KsnType, Mode, Policy
from appliance.ksn.asker import Asker, Standing
from appliance.ksn.statement import shown_hash, shown_text, version_in_force

_NOT_WRITTEN = (
    "a change of the policy, by which less is sent, is not written: nothing is sent until it is, or until "
    "the SVM is started anew (svm policy change)"
)

Reasons = tuple[tuple[Reason, str], ...]


@dataclass(frozen=True, slots=True)
class ProviderTerms:
    """What the provider has set.

    shared: whether tenants that take part see each other's KSN answers. addition: the provider's own part
    of the text that tenants decide on. locked: what tenants may not change: "mode", "participation",
    "documents". documents: whether tenants may allow that documents are handed over.
    """

    enabled: bool
    type: KsnType = KsnType.GLOBAL
    mode_limit: Mode = Mode.STANDARD
    shared: bool = False
    addition: str = ""
    locked: tuple[str, ...] = ()
    documents: bool = False

    @property
    def text(self) -> str:
        """What is to be decided on now."""
        return shown_text(self.type, version_in_force(self.type), self.addition)


class Participants:
    """The policies in force, by scope."""

    def __init__(self, terms: ProviderTerms, policies: Iterable[Policy]) -> None:
        self.terms = terms
        self._hash = shown_hash(terms.text)
        self._policies = {policy.scope: policy for policy in policies}
        self._held: set[int] = set()

    def put(self, policy: Policy) -> None:
        """Put a policy in force, in place of the tenant's earlier one."""
        self._policies[policy.scope] = policy
        self._held.discard(policy.scope)

    def hold(self, scope: int) -> None:
        """Have nothing asked for a scope, whatever its policy says, until one is put in force."""
        self._held.add(scope)

    def takes_part(self, scope: int) -> bool:
        """Whether KSN may be asked for a scope, and its answers seen there."""
        return self._consent(self._policies.get(scope)) is not None

    def asker(self, guest: Guest, standing: Standing = Standing.GUEST) -> Asker | None:
        """On whose behalf and on which terms a guest's question goes out; None where it may not."""
        policy = self._policies.get(guest.scope)
        consent = self._consent(policy)
        if policy is None or consent is None:
            return None
        return Asker(
            policy.scope,
            policy.tenant,
            guest.id,
            self.terms.type,
            min(policy.mode, self.terms.mode_limit),
            consent.version,
            self._documents(policy),
            standing,
        )

    def scopes(self) -> list[int]:
        """Those that take part, in order."""
        return [scope for scope in sorted(self._policies) if self.takes_part(scope)]

    def scopes_by_tenant(self) -> dict[str, int]:
        """Those of all policies, also of tenants that do not take part."""
        return {policy.tenant: scope for scope, policy in self._policies.items()}

    def asker_for_all(self, actor: str) -> Asker | None:
        """On whose behalf something is asked that is for all who take part: the first of them."""
        scopes = self.scopes()
        return self.asker(Guest(actor, scopes[0]), Standing.HOUSE) if scopes else None

    def allows(self, asker: Asker) -> bool:
        """Whether what was begun on an asker's terms may still go out."""
        return self.asker(Guest(asker.guest, asker.scope), asker.standing) == asker

    def _consent(self, policy: Policy | None) -> Consent | None:
        """The decision by which a tenant takes part now; None where a gate is closed."""
        if policy is None or not self.terms.enabled or not policy.active or policy.scope in self._held:
            return None
        return policy.accepted(self.terms.type)

    def _documents(self, policy: Policy) -> bool:
        """Whether the documents of a tenant that takes part may be handed over: both have to say so."""
        extended = min(policy.mode, self.terms.mode_limit) >= Mode.EXTENDED
        return extended and policy.documents and self.terms.documents

    def participation(self, scope: int, troubles: Reasons = ()) -> Participation:
        """How a scope takes part. troubles: of the service, as they are now."""
        policy = self._policies.get(scope)
        terms = self.terms
        accepted = policy.accepted(terms.type) if policy is not None else None
        in_force = version_in_force(terms.type)
        version = 0 if accepted is None else accepted.version
        closed = self._closed(policy)
        if closed is not None:
            type_, mode = (terms.type, terms.mode_limit) if terms.enabled else (None, None)
            return Participation(KsnState.OFF, type_, mode, (closed,), version, in_force)
        assert policy is not None
        mode = min(policy.mode, terms.mode_limit)
        reasons = [*troubles]
        if policy.mode > mode:
            reasons.append((Reason.MODE_LIMITED, "the provider allows a narrower mode than the tenant chose"))
        if accepted is None or accepted.sha256 != self._hash:
            newer = (
                f"there is a newer text of the Statement, version {in_force}: read it, and decide "
                "(svm policy change)"
            )
            reasons.append((Reason.NEWER_STATEMENT, newer))
        state = KsnState.RESTRICTED if reasons else KsnState.ENABLED
        documents = self._documents(policy)
        return Participation(state, terms.type, mode, tuple(reasons), version, in_force, documents)

    def _closed(self, policy: Policy | None) -> tuple[Reason, str] | None:
        """Which gate is closed, the provider's first."""
        if not self.terms.enabled:
            return Reason.PROVIDER_DISABLED, "the provider has not enabled KSN (ksn.enabled)"
        if policy is None:
            return Reason.NO_POLICY, "the tenant has no policy, and so has not decided (svm policy create)"
        if policy.accepted(self.terms.type) is None:
            what = f"the tenant has not accepted the {self.terms.type} Statement (svm policy change)"
            return Reason.NOT_ACCEPTED, what
        if not policy.active:
            return (
                Reason.POLICY_INACTIVE,
                "the tenant's policy is not active (svm policy change --active yes)",
            )
        return (Reason.NOT_WRITTEN, _NOT_WRITTEN) if policy.scope in self._held else None
