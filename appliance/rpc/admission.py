"""Whether a guest may attach with its certificate: on the machine that enrolled, and in one place."""

import time
from collections.abc import Callable
from typing import Protocol

import grpc
from lightagent.v1 import guest_pb2

from appliance.domain.caller import NotAdmitted
from appliance.domain.guest import Guest
from appliance.domain.identity import MACHINE_BYTES
from appliance.identity.clones import Clones, Life
from appliance.identity.registry import Registry
from appliance.rpc import wire
from appliance.rpc.calls import Breach, CallEnded
from appliance.rpc.identity import Context, address_of, certificate_of, session_name
from appliance.rpc.sessions import Session, Sessions
from appliance.state.environment import StateError


class Unadmitted(CallEnded):
    """The guest's certificate does not count, or not for this machine."""

    status = grpc.StatusCode.UNAUTHENTICATED


class Admission(Protocol):
    """Who may attach, and stay."""

    async def greeted(self, context: Context, guest: Guest, hello: guest_pb2.Hello) -> None:
        """A guest has said Hello. Raises CallEnded."""

    async def spoke(self, session: Session) -> None:
        """A guest that is attached has said something on Attach."""


class Anybody:
    """On a unix socket: the kernel has named the process."""

    async def greeted(self, context: Context, guest: Guest, hello: guest_pb2.Hello) -> None:
        """Fine."""

    async def spoke(self, session: Session) -> None:
        """Fine."""


ANYBODY = Anybody()


class ByRegister:
    """On TCP: the register knows which machine a guest is, and what it says shows whether it is two."""

    def __init__(
        self,
        registry: Registry,
        sessions: Sessions,
        certificate: Callable[[Context], bytes] = certificate_of,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """certificate: what the caller has shown, PEM. monotonic: seconds."""
        self._registry = registry
        self._sessions = sessions
        self._certificate = certificate
        self._monotonic = monotonic
        self._clones = Clones()

    async def greeted(self, context: Context, guest: Guest, hello: guest_pb2.Hello) -> None:
        """Raises Unadmitted, Breach. A newer certificate takes the older one's place, and its sessions'."""
        if len(hello.machine) not in (0, MACHINE_BYTES):
            raise Breach(f"machine has {len(hello.machine)} bytes: give exactly {MACHINE_BYTES}, or none")
        try:
            follows = await self._registry.attached(self._certificate(context), hello.machine)
        except NotAdmitted as error:
            raise Unadmitted(str(error)) from error
        daemon = hello.program == guest_pb2.GUEST_PROGRAM_DAEMON
        life = Life(wire.label(hello.boot_id), session_name(context) if daemon else "", address_of(context))
        others = self._sessions.of_guest(guest.id)
        if follows:
            self._sessions.replace_all(guest.id)
        why = self._clones.attaches(guest.id, life, self._monotonic(), bool(others))
        if why:
            raise Unadmitted(await self._end(guest, why))

    async def spoke(self, session: Session) -> None:
        """Where a copy of the guest speaks as well, both are ended."""
        guest, boot_id = session.guest, session.labels.boot_id
        others = (other for other in self._sessions.of_guest(guest.id) if other.labels.boot_id != boot_id)
        why = self._clones.speaks(guest.id, boot_id, self._monotonic(), any(others))
        if why:
            raise Unadmitted(await self._end(guest, why))

    async def _end(self, guest: Guest, why: str) -> str:
        """End the certificates of a guest that is in two places; a sentence for it."""
        try:
            await self._registry.cloned(guest, why)
        except StateError:
            return "this guest is in two places, and the SVM cannot keep that now: come back later"
        self._clones.forget(guest.id)
        return f"{why}: this certificate counts no more; each machine has to enrol anew, with its own token"
