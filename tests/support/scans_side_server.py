"""An SVM's administration side with the ScansAdministration service, for tests of it and of its commands.

As in `admin_side_server`; behind the service stand a real desk and real orders, at a time that the test sets.
"""

from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc

from appliance.domain.policy import DEFAULT_TENANT
from appliance.domain.scan import ScanCounts, ScanReport, ScanState
from appliance.rpc.patience import Patience
from appliance.rpc.scans_admin import ScansAdministrationService
from appliance.scans_control import ScanControl
from tests.support.admin_side_server import AdminSide, RememberingControl, administrators
from tests.support.scan_desk import Office, Program, office, program


class ScansSide(AdminSide):
    """A running administration side with scans at `path`. known: guests that were here."""

    def __init__(self, path: Path, desk: Office, patience_seconds: float) -> None:
        super().__init__(path, RememberingControl())
        self.office = desk
        self.known: list[str] = []
        self._patience_seconds = patience_seconds

    def attach(self, name: str, daemon: bool = True) -> Program:
        """Have a program of a guest attach."""
        guest = program(name, daemon=daemon)

        async def attach() -> None:
            self.office.desk.attached(guest)

        self.do(attach())
        return guest

    def says(self, guest: Program, scan: bytes, state: ScanState, text: str = "", **counts: int) -> None:
        """Have it say how a scan stands."""
        self.do(self.office.desk.said(guest, ScanReport(scan, state, ScanCounts(**counts), text)))

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done on the server's loop."""
        self._run(work)

    async def _start(self) -> None:
        self._server = grpc.aio.server()
        await self._office.__aenter__()
        control = ScanControl(
            self.office.desk,
            lambda _tenant: dict.fromkeys(self.known, DEFAULT_TENANT),
            lambda: self.office.clock[0],
        )
        self.service = ScansAdministrationService(
            control, administrators(self._office), Patience(self._patience_seconds)
        )
        self.service.add_to(self._server)
        self._server.add_insecure_port(f"unix:{self.path}")
        await self._server.start()

    async def _stop(self) -> None:
        await super()._stop()
        await self.office.desk.orders.finish()


@contextmanager
def scans_side(directory: Path, patience_seconds: float = 30.0) -> Iterator[ScansSide]:
    """Serve `directory`/admin.sock for the length of a test."""
    with ExitStack() as stack:
        desk = stack.enter_context(office(directory))
        side = ScansSide(directory / "admin.sock", desk, patience_seconds)
        side.start()
        stack.callback(side.stop)
        yield side
