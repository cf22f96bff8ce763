"""An SVM that uses a KSN of the test's own, and what an administrator decides there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from appliance.config import BreakerSettings, KsnSettings
from appliance.domain.policy import DEFAULT_TENANT, Decision, KsnType, Mode
from appliance.ksn.statement import shown_hash, shown_text, version_in_force
from appliance.ksn_control import PolicyControl
from appliance.rpc.ksn_views import PolicyChange, PolicyDraft, StatementDecision
from appliance.state.ledger import LedgerStore
from tests.support.misbehaving_ksn import Fault, MisbehavingKsn
from tests.support.svm import Svm, running_svm

ACTOR = "uid-0.pid-1"


def decision(decided: Decision = Decision.ACCEPT, type_: KsnType = KsnType.PRIVATE) -> StatementDecision:
    """A decision on the text in force, without anything of the provider's."""
    version = version_in_force(type_)
    return StatementDecision(decided, type_, version, shown_hash(shown_text(type_, version, "")))


@dataclass(frozen=True)
class KsnSvm:
    """A running SVM, the service that it asks, and its administrator's commands."""

    svm: Svm
    service: MisbehavingKsn
    control: PolicyControl

    async def accept(
        self, tenant: str = DEFAULT_TENANT, mode: Mode = Mode.STANDARD, documents: bool = False
    ) -> None:
        """Begin a tenant's policy by accepting."""
        await self.control.create_policy(PolicyDraft(tenant, decision(), mode, documents), ACTOR)

    async def decline(self, tenant: str = DEFAULT_TENANT) -> None:
        """Take part no more."""
        await self.control.change_policy(tenant, PolicyChange(decision=decision(Decision.DECLINE)), ACTOR)

    async def ledger(self) -> list[dict[str, Any]]:
        """Everything in the ledger but for the question whether the service tells of changes."""
        network = self.svm.parts.ksn.network
        assert network is not None
        await network.ledger.flush()
        store = LedgerStore(self.svm.parts.state.environment)
        assert store.verify().problem == ""
        left_out: set[int] = set()
        found = []
        for entry in store.entries():
            payload = dict(entry.payload)
            if payload.get("call") == "changes" or payload.get("of") in left_out:
                left_out.add(entry.number)
            else:
                found.append(payload)
        return found


@asynccontextmanager
async def misbehaving_ksn(act: Fault | None = None) -> AsyncIterator[MisbehavingKsn]:
    """A service that listens. act: what it does; without, it answers as a good one."""
    service = MisbehavingKsn() if act is None else MisbehavingKsn(act)
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


@asynccontextmanager
async def ksn_svm(
    directory: Path, service: MisbehavingKsn | None = None, **settings: Any
) -> AsyncIterator[KsnSvm]:
    """A running SVM with KSN enabled, a private one that the test drives. settings: of [ksn].

    service: one that listens already, for what outlives an SVM.
    """
    async with nullcontext(service) if service is not None else misbehaving_ksn() as asked:
        usual = KsnSettings(
            enabled=True,
            type="private",
            endpoint=asked.base_url,
            longest_seconds=0.5,
            per_minute=0,
            per_day=0,
            breaker=BreakerSettings(pause_seconds=600, longest_pause_seconds=600),
        )
        async with running_svm(directory, ksn=replace(usual, **settings)) as svm:
            yield KsnSvm(svm, asked, PolicyControl(svm.parts.ksn))
