"""The gRPC servers: one for guests, one for administrators, each with health and reflection."""

import os
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from appliance.rpc import wire
from appliance.rpc.identity import Context

_OPTIONS = (
    ("grpc.max_receive_message_length", wire.MAX_MESSAGE_BYTES),
    ("grpc.max_concurrent_streams", 64),
    ("grpc.max_metadata_size", 8192),
    ("grpc.so_reuseport", 0),  # two SVMs on one port would each see half of the guests
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5000),
    ("grpc.keepalive_time_ms", 60000),
    ("grpc.keepalive_timeout_ms", 20000),
)
# A connection on which no call is open is closed after so long: an attached guest has one open all the time.
IDLE_SECONDS = 60.0


_MAX_WATCHERS = 16
_MAX_SERVICE_NAME = 128


class CannotListen(Exception):
    """The address is taken, or may not be used."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens: path of a unix socket, or host:port."""

    path: Path | None
    target: str

    @classmethod
    def parse(cls, listen: str) -> "Address":
        """From the form of the configuration, "unix:/path" or "tcp:host:port"."""
        kind, _, rest = listen.partition(":")
        return cls(Path(rest), listen) if kind == "unix" else cls(None, rest)


class _BoundedHealth(health.aio.HealthServicer):  # type: ignore[misc,name-defined]  # missing in its types
    """The health service, with bounds on what anybody may leave open in it: it needs no ticket."""

    watchers = 0

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> None:
        """Tell of a service's state and its changes; at most _MAX_WATCHERS at once."""
        if len(request.service) > _MAX_SERVICE_NAME:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no service has so long a name")
        if self.watchers >= _MAX_WATCHERS:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many watch already: ask by Check")
        self.watchers += 1
        try:
            await super().Watch(request, context)
        finally:
            self.watchers -= 1


class Server:
    """A gRPC server with the standard health and reflection services beside its own."""

    def __init__(self, address: Address, mode: int, idle_seconds: float = IDLE_SECONDS) -> None:
        """mode: of the unix socket, if it is one. idle_seconds: how long a connection may have no call."""
        self._address = address
        self._mode = mode
        self._health = _BoundedHealth()
        self._names: list[str] = [reflection.SERVICE_NAME, health.SERVICE_NAME]
        self.grpc = grpc.aio.server(
            options=(*_OPTIONS, ("grpc.max_connection_idle_ms", int(idle_seconds * 1000)))
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.grpc)

    async def start(self, *names: str) -> None:
        """Listen, and report the services `names` as serving. Raises CannotListen."""
        self._names.extend(names)
        reflection.enable_server_reflection(self._names, self.grpc)
        try:
            bound = self.grpc.add_insecure_port(self._address.target)
        except RuntimeError as error:
            raise CannotListen(f"cannot listen on {self._address.target}: {error}") from error
        if not bound:
            raise CannotListen(f"cannot listen on {self._address.target}: is it taken?")
        await self.grpc.start()
        if self._address.path is not None:
            os.chmod(self._address.path, self._mode)
        for name in ("", *names):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def retire(self) -> None:
        """Report NOT_SERVING from now on."""
        await self._health.enter_graceful_shutdown()

    async def stop(self, grace: float) -> None:
        """Take no new calls, give those under way `grace` seconds, then cut them."""
        await self.grpc.stop(grace)
        if self._address.path is not None:
            self._address.path.unlink(missing_ok=True)
