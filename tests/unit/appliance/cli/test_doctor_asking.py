"""What `svm doctor` asks an SVM that serves."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from lightagent.v1 import admin_pb2_grpc

from appliance.cli.doctor_asking import hear
from appliance.domain.policy import Mode, Policy
from appliance.ksn.reaching import Step
from appliance.rpc.admin import AdministrationService
from appliance.rpc.ksn_admin import KsnAdministrationService
from appliance.rpc.ksn_views import PolicyView
from appliance.scanning.result import EngineState, SignatureSource
from tests.support.admin_side_server import admin_side, administrators
from tests.support.ksn_side_server import OFF, ON, KsnSide

YARA = EngineState("yara", "1.23", False, "no worker", 5849)
SOURCE = SignatureSource("yara", "/rules/x.yar", 7, ("/rules/x.yar:3: syntax",))


class WholeSide(KsnSide):
    """Both services that are asked."""

    async def _start(self) -> None:
        self._server = grpc.aio.server()
        await self._office.__aenter__()
        caller = administrators(self._office)
        service = AdministrationService(self.control, caller, time.time)
        admin_pb2_grpc.add_AdministrationServicer_to_server(service, self._server)
        admin_pb2_grpc.add_KsnAdministrationServicer_to_server(
            KsnAdministrationService(self.ksn, caller), self._server
        )
        self._server.add_insecure_port(f"unix:{self.path}")
        await self._server.start()


@pytest.fixture
def side(tmp_path: Path) -> Iterator[WholeSide]:
    """An SVM with an engine, a source, and two tenants of which one takes part in KSN."""
    side = WholeSide(tmp_path / "admin.sock")
    side.start()
    side.control.view = replace(side.control.view, engines=(YARA,))
    side.control.loaded = [SOURCE]
    for scope, (tenant, participation) in enumerate((("acme", ON), ("beta", OFF)), 2):
        side.ksn.kept[tenant] = PolicyView(Policy(tenant, scope, True, Mode.STANDARD), participation)
    side.ksn.checks = [Step("TLS", True, "fine")]
    yield side
    side.stop()


def test_all_of_it_is_asked(side: WholeSide) -> None:
    """Engines, sources, who takes part; and nothing goes to KSN for it."""
    heard = hear(str(side.path), online=False)
    assert heard.status is not None
    assert heard.status.version == "1.2.3"
    assert (heard.engines, heard.sources) == ([YARA], (SOURCE,))
    assert heard.ksn is not None
    assert (heard.ksn.taking_part, heard.ksn.tenants, heard.ksn.checks) == (["acme"], 2, {})
    assert ("check", "acme") not in side.ksn.asked


def test_ksn_is_tried_where_that_is_wanted(side: WholeSide) -> None:
    """On behalf of a tenant that takes part."""
    heard = hear(str(side.path), online=True)
    assert heard.ksn is not None
    assert [check.said for check in heard.ksn.checks["acme"]] == ["fine"]


def test_what_an_svm_does_not_say_is_a_sentence(tmp_path: Path) -> None:
    """One that is older knows less; the rest of what it says counts."""
    with admin_side(tmp_path) as side:
        heard = hear(str(side.path), online=False)
    assert heard.status is not None
    assert heard.ksn is None
    assert ["does not know this command" in why for why in heard.unheard] == [True]


def test_where_none_serves_there_is_a_sentence(tmp_path: Path) -> None:
    """And nothing else."""
    heard = hear(str(tmp_path / "admin.sock"), online=False)
    assert (heard.status, heard.engines, heard.sources, heard.ksn) == (None, [], (), None)
    assert heard.why.startswith("no SVM answers on ")
