"""An SVM's administration side with the IdentityAdministration service, for tests of it and of its commands.

As in `admin_side_server`; behind the service stands a real register, at a time that the test sets.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
from lightagent.v1 import identity_pb2_grpc

from appliance.domain.caller import Caller
from appliance.rpc.identity_admin import IdentityAdministrationService, IdentityView
from tests.support.admin_side_server import AdminSide, RememberingControl, administrators
from tests.support.identities import Office, office


class IdentitySide(AdminSide):
    """A running administration side with a register at `path`.

    caller: who whoever calls is, None for who he is by the socket. attached: guests that are.
    """

    def __init__(self, path: Path, desk: Office) -> None:
        super().__init__(path, RememberingControl())
        self.office = desk
        self.caller: Caller | None = None
        self.attached: set[str] = set()
        self.view = IdentityView(
            desk.registry,
            "192.0.2.1:7444",
            "192.0.2.1:7443",
            lambda guest: guest in self.attached,
            desk.clock,
        )

    async def _start(self) -> None:
        self._server = grpc.aio.server()
        await self._office.__aenter__()
        by_socket = administrators(self._office)

        async def caller(context: grpc.aio.ServicerContext) -> Caller:  # type: ignore[type-arg]
            return self.caller or await by_socket(context)

        service = IdentityAdministrationService(self.view, caller)
        identity_pb2_grpc.add_IdentityAdministrationServicer_to_server(service, self._server)
        self._server.add_insecure_port(f"unix:{self.path}")
        await self._server.start()

    async def _stop(self) -> None:
        await super()._stop()
        await self.office.registry.finish()


@contextmanager
def identity_side(
    directory: Path, doors: tuple[str, str] = ("192.0.2.1:7444", "192.0.2.1:7443"), authority: bool = True
) -> Iterator[IdentitySide]:
    """Serve `directory`/admin.sock for the length of a test.

    doors: where guests enrol, and where they come in. authority: False where `svm init` was not run.
    """
    with ExitStack() as stack:
        desk = stack.enter_context(office(directory))
        side = IdentitySide(directory / "admin.sock", desk)
        registry = desk.registry if authority else None
        side.view = IdentityView(registry, *doors, side.view.attached, desk.clock)
        side.start()
        stack.callback(side.stop)
        yield side
