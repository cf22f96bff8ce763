"""An SVM's administration side for tests of the client and of the commands.

Real gRPC on a unix socket with real tickets; behind the service stands a Control that remembers
what it was asked. It runs on a loop in a thread of its own, since the client blocks.
"""

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from lightagent.v1 import admin_pb2_grpc

from appliance.domain.override import Override
from appliance.rpc.admin import AdministrationService, ControlRefused
from appliance.rpc.admin_calls import CallerOf
from appliance.rpc.admin_views import StatusView, VerdictView
from appliance.rpc.administrators import Ranks
from appliance.rpc.identity import ByTicket, Callers
from appliance.rpc.places import Places
from appliance.rpc.tickets import TicketOffice
from appliance.scanning.result import SignatureSource
from appliance.state.store import AuditEntry

DEADLINE = 30.0


async def _nothing() -> None:
    pass


def administrators(office: TicketOffice) -> CallerOf:
    """Who calls, on a socket for administrators."""
    return Callers(ByTicket(office, Ranks(()))).caller


@dataclass
class RememberingControl:
    """A Control whose answers a test sets, and which remembers what it was told.

    refusal: the sentence with which every change is refused, "" for none. during_reload: awaited
    before a reload is answered.
    """

    view: StatusView = field(default_factory=lambda: StatusView("1.2.3", 1_900_000_000, 0xAB, (), (), False))
    numbers: dict[str, float] = field(default_factory=dict)
    verdicts: dict[bytes, VerdictView] = field(default_factory=dict)
    overrides: dict[bytes, Override] = field(default_factory=dict)
    cleared: list[tuple[bytes, str, str]] = field(default_factory=list)
    entries: list[AuditEntry] = field(default_factory=list)
    loaded: list[SignatureSource] = field(default_factory=list)
    refusal: str = ""
    during_reload: Callable[[], Awaitable[None]] = _nothing

    def status(self, _tenant: str) -> StatusView:
        """As set."""
        return self.view

    def figures(self, _tenant: str) -> dict[str, float]:
        """As set."""
        return self.numbers

    def generation(self) -> int:
        """As set."""
        return self.view.generation

    def verdict(self, digest: bytes, _tenant: str) -> VerdictView:
        """As set; nobody knows what was not set."""
        return self.verdicts.get(digest, VerdictView(None, 0, False, self.overrides.get(digest)))

    async def set_override(self, digest: bytes, override: Override, _tenant: str) -> None:
        """Remember it."""
        self._refuse()
        self.overrides[digest] = override

    async def clear(self, digest: bytes, reason: str, actor: str, _tenant: str) -> bool:
        """Remember it."""
        self._refuse()
        self.cleared.append((digest, reason, actor))
        return self.overrides.pop(digest, None) is not None

    def audit(self, limit: int, _tenant: str) -> Iterator[AuditEntry]:
        """As set."""
        return iter(self.entries[:limit])

    def sources(self) -> Sequence[SignatureSource]:
        """As set."""
        return self.loaded

    async def reload(self, _actor: str) -> tuple[int, int]:
        """The generation moves on by one."""
        self._refuse()
        await self.during_reload()
        return self.view.generation, self.view.generation + 1

    def _refuse(self) -> None:
        if self.refusal:
            raise ControlRefused(self.refusal)


class AdminSide:
    """A running administration side at `path`."""

    def __init__(self, path: Path, control: RememberingControl) -> None:
        self.path = path
        self.control = control
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="admin side")
        self._office = TicketOffice(Path(f"{path}.id"), 0o600)
        self._stopping: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Serve from now on."""
        self._thread.start()
        self._run(self._start())

    def stop(self) -> None:
        """Cut every call and go away."""
        if self._thread.is_alive():
            self._run(self._stop())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(DEADLINE)
            self._loop.close()

    async def vanish(self) -> None:
        """Go away in the middle of a call; to be awaited by the call."""
        self._stopping = self._loop.create_task(self._server.stop(0))
        await asyncio.Event().wait()

    async def hang(self) -> None:
        """Never answer a call; to be awaited by the call."""
        await asyncio.Event().wait()

    async def _start(self) -> None:
        self._server = grpc.aio.server()
        await self._office.__aenter__()
        service = AdministrationService(self.control, administrators(self._office), time.time)
        admin_pb2_grpc.add_AdministrationServicer_to_server(service, self._server)
        self._server.add_insecure_port(f"unix:{self.path}")
        await self._server.start()

    async def _stop(self) -> None:
        # Never twice at once: grpc's second stop() uses the server after its first has destroyed it.
        await (self._stopping or self._server.stop(0))
        await self._office.__aexit__(None, None, None)
        await asyncio.sleep(0)  # lets connections that were closed say so

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE)


class Caller:
    """A client that does not keep the rules: a bare stub with a ticket."""

    def __init__(self, side: AdminSide, stub: Callable[[grpc.Channel], Any]) -> None:
        """stub: the class of the generated one."""
        self.companion = socket.socket(socket.AF_UNIX)
        self.companion.settimeout(DEADLINE)
        self.companion.connect(f"{side.path}.id")
        with self.companion.makefile("r") as lines:
            self.metadata = (("ticket", lines.readline().strip()),)
        self.channel = grpc.insecure_channel(f"unix:{side.path}")
        self.stub = stub(self.channel)

    def call(self, name: str, request: object) -> Any:
        """Call a method by its name."""
        return getattr(self.stub, name)(request, metadata=self.metadata, timeout=DEADLINE)

    def close(self) -> None:
        """Give the ticket back."""
        self.channel.close()
        self.companion.close()


def refused(caller: Caller, name: str, request: object) -> tuple[grpc.StatusCode, str]:
    """How a call that must not succeed ended."""
    with pytest.raises(grpc.RpcError) as caught:
        caller.call(name, request)
    return caught.value.code(), caught.value.details() or ""


def read_on_after_the_place_is_free(call: Any, places: Places) -> grpc.RpcError:
    """Take one message, then none until the call's place is free; how the call ends when it is read on."""
    next(call)
    end = time.monotonic() + DEADLINE
    while places.taken:
        assert time.monotonic() < end
        time.sleep(0.01)
    with pytest.raises(grpc.RpcError) as caught:
        for _ in call:
            pass
    return caught.value


@contextmanager
def admin_side(directory: Path) -> Iterator[AdminSide]:
    """Serve `directory`/admin.sock for the length of a test."""
    side = AdminSide(directory / "admin.sock", RememberingControl())
    side.start()
    try:
        yield side
    finally:
        side.stop()
