"""An SVM's administration side with the KsnAdministration service, for tests of its client and commands.

As in `admin_side_server`, real gRPC on a unix socket with real tickets; behind the service stands a
KsnControl that remembers what it was asked.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import grpc
from lightagent.v1 import admin_pb2_grpc

from appliance.cli.console import Console
from appliance.cli.program import run
from appliance.domain.participation import KsnState, Participation, Reason
from appliance.domain.policy import Consent, HistoryEntry, KsnType, Mode, Policy, SettingsChange
from appliance.ksn.reaching import Step
from appliance.ksn.statement import version_in_force
from appliance.ksn.weburl import WebResource
from appliance.rpc.admin_calls import ControlRefused
from appliance.rpc.ksn_admin import KsnAdministrationService
from appliance.rpc.ksn_views import (
    KsnStatusView,
    LookUpView,
    PolicyChange,
    PolicyDraft,
    PolicyView,
    StatementDecision,
)
from tests.support.admin_side_server import AdminSide, RememberingControl, administrators
from tests.support.commands import NOON, Ran

IN_FORCE = version_in_force(KsnType.GLOBAL)
OFF = Participation(
    KsnState.OFF, reasons=((Reason.NO_POLICY, "the tenant has no policy"),), in_force=IN_FORCE
)
ON = Participation(KsnState.ENABLED, KsnType.GLOBAL, Mode.STANDARD, accepted=IN_FORCE, in_force=IN_FORCE)


@dataclass
class RememberingKsnControl:
    """A KsnControl whose answers a test sets. asked: what it was told, in order.

    refusal: the sentence with which every change and question is refused, "" for none.
    """

    kept: dict[str, PolicyView] = field(default_factory=dict)
    entries: list[HistoryEntry] = field(default_factory=list)
    status: KsnStatusView = field(
        default_factory=lambda: KsnStatusView(OFF, True, KsnType.GLOBAL, Mode.EXTENDED, "opentip")
    )
    checks: list[Step] = field(default_factory=list)
    answer: LookUpView = field(default_factory=lambda: LookUpView(None, "KSN took too long"))
    asked: list[tuple[object, ...]] = field(default_factory=list)
    text: str | None = None
    refusal: str = ""

    def policies(self, _tenant: str) -> Sequence[PolicyView]:
        """As they were made."""
        return list(self.kept.values())

    async def create_policy(self, draft: PolicyDraft, actor: str) -> PolicyView:
        """Keep it."""
        self._note("create", draft, actor)
        self.kept[draft.tenant] = PolicyView(
            Policy(draft.tenant, 16, mode=draft.mode or Mode.STANDARD, documents=draft.documents), ON
        )
        self._decide(draft.tenant, draft.decision, actor)
        self._set(draft.tenant, actor)
        return self.kept[draft.tenant]

    async def change_policy(self, tenant: str, change: PolicyChange, actor: str) -> PolicyView:
        """Change it."""
        self._note("change", tenant, change, actor)
        view = self.kept[tenant]
        policy = view.policy
        active = policy.active if change.active is None else change.active
        documents = policy.documents if change.documents is None else change.documents
        mode = change.mode or policy.mode
        self.kept[tenant] = replace(
            view, policy=replace(policy, active=active, mode=mode, documents=documents)
        )
        if change.decision is not None:
            self._decide(tenant, change.decision, actor)
        if change != PolicyChange(decision=change.decision):
            self._set(tenant, actor)
        return self.kept[tenant]

    def history(self, tenant: str | None, limit: int) -> Sequence[HistoryEntry]:
        """The newest first."""
        self.asked.append(("history", tenant, limit))
        return [each for each in reversed(self.entries) if tenant in {None, each.tenant}][:limit]

    def statement_text(self, beginning: str, _tenant: str) -> str | None:
        """As set."""
        self._note("text", beginning)
        return self.text

    def ksn_status(self, tenant: str) -> KsnStatusView:
        """As set."""
        self.asked.append(("status", tenant))
        return self.status

    async def check_ksn(self, tenant: str) -> Sequence[Step]:
        """As set."""
        self._note("check", tenant)
        return self.checks

    async def look_up(self, tenant: str, digest: bytes) -> LookUpView:
        """As set."""
        self._note("look up", tenant, digest)
        return self.answer

    async def look_up_url(self, tenant: str, resource: WebResource) -> LookUpView:
        """As set."""
        self._note("look up", tenant, resource.whole)
        return self.answer

    def _note(self, *what: object) -> None:
        self.asked.append(what)
        if self.refusal:
            raise ControlRefused(self.refusal)

    def _decide(self, tenant: str, said: StatementDecision, actor: str) -> None:
        number = len(self.entries) + 1
        consent = Consent(number, NOON, tenant, actor, said.decision, said.type, said.version, said.sha256)
        self.entries.append(consent)
        view = self.kept[tenant]
        decided = {**view.policy.decided, said.type: consent}
        self.kept[tenant] = replace(view, policy=replace(view.policy, decided=decided))

    def _set(self, tenant: str, actor: str) -> None:
        policy = self.kept[tenant].policy
        number = len(self.entries) + 1
        now = (policy.active, policy.mode, policy.documents)
        self.entries.append(SettingsChange(number, NOON, tenant, actor, *now))


class KsnSide(AdminSide):
    """A running administration side with KSN at `path`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, RememberingControl())
        self.ksn = RememberingKsnControl()

    async def _start(self) -> None:
        self._server = grpc.aio.server()
        await self._office.__aenter__()
        service = KsnAdministrationService(self.ksn, administrators(self._office))
        admin_pb2_grpc.add_KsnAdministrationServicer_to_server(service, self._server)
        self._server.add_insecure_port(f"unix:{self.path}")
        await self._server.start()


@contextmanager
def ksn_side(directory: Path) -> Iterator[KsnSide]:
    """Serve `directory`/admin.sock for the length of a test."""
    side = KsnSide(directory / "admin.sock")
    side.start()
    try:
        yield side
    finally:
        side.stop()


class Terminal(io.StringIO):
    """A stream behind which a person sits."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def svm_typed(answers: str, *arguments: object) -> Ran:
    """Run `svm` on a terminal. answers: what the person types, line by line, to the end."""
    out, err = Terminal(), io.StringIO()
    console = Console({}, out, err, lambda: NOON, Terminal(answers))
    code = run([str(argument) for argument in arguments], console)
    return Ran(code, out.getvalue(), err.getvalue())
