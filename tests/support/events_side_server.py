"""An SVM's administration side with the EventsAdministration service, for tests of it and of its commands.

As in `admin_side_server`, real gRPC on a unix socket with real tickets; behind the service stands a real log.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from appliance.domain.event import Event
from appliance.events.log import EventLog, LogTerms
from appliance.rpc.events_admin import EventsAdministrationService
from appliance.rpc.patience import Patience
from appliance.state.events import EventStore, EventTerms
from tests.support.admin_side_server import AdminSide, RememberingControl, administrators
from tests.support.commands import NOON


class EventsSide(AdminSide):
    """A running administration side with events at `path`."""

    def __init__(self, path: Path, patience_seconds: float) -> None:
        super().__init__(path, RememberingControl())
        self._patience_seconds = patience_seconds
        store = EventStore.open(path.parent / "state", EventTerms(), NOON)
        self.log = EventLog(store, LogTerms(commit_seconds=0.0), lambda: NOON, lambda: 0.0)

    def keep(self, *events: Event) -> None:
        """Have events kept; they are when this returns."""

        async def keep() -> None:
            before = self.log.store.last
            for event in events:
                self.log.note(event)
            await self.log.grown(before + len(events) - 1)

        self._run(keep())

    async def _start(self) -> None:
        self._server = grpc.aio.server()
        await self._office.__aenter__()
        self.service = EventsAdministrationService(
            self.log, administrators(self._office), Patience(self._patience_seconds)
        )
        self.service.add_to(self._server)
        self._server.add_insecure_port(f"unix:{self.path}")
        self._writer = self._loop.create_task(self.log.run())
        await self._server.start()

    async def _stop(self) -> None:
        await super()._stop()
        self._writer.cancel()
        await asyncio.gather(self._writer, return_exceptions=True)
        await self.log.close()


@contextmanager
def events_side(directory: Path, patience_seconds: float = 30.0) -> Iterator[EventsSide]:
    """Serve `directory`/admin.sock for the length of a test."""
    side = EventsSide(directory / "admin.sock", patience_seconds)
    side.start()
    try:
        yield side
    finally:
        side.stop()
