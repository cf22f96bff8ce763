"""The gRPC servers: one for guests, one for administrators, each with health and reflection."""

import errno
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import grpc

from appliance.rpc import wire
from appliance.rpc.access import Gate
from appliance.rpc.identity import Callers
from appliance.rpc.lobby import PLACES, Unticketed

# A message that is a little too long comes whole, so that it can be counted who sent it; of a longer one gRPC
# ends the call without a word to us.
_SLACK_BYTES = 64 * 1024
# What of a call may come before it is read. Left to itself gRPC lets that grow to 4 MiB for who sends
# fast, and a guest has dozens of calls. On one host no line is so long that more would be under way.
_WINDOW_BYTES = 64 * 1024
_OPTIONS = (
    ("grpc.max_metadata_size", 8192),
    ("grpc.so_reuseport", 0),  # two SVMs on one port would each see half of the guests
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", _WINDOW_BYTES),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5000),
    ("grpc.keepalive_time_ms", 60000),
    ("grpc.keepalive_timeout_ms", 20000),
)


_NO_NAME = "its name is not known here: give an address of this machine"
_REASONS = {
    errno.EADDRINUSE: "something else listens there: see `ss -ltnp`, end that or give another port",
    errno.EADDRNOTAVAIL: "it is no address of this machine: see `ip address`",
    socket.EAI_NONAME: _NO_NAME,
    socket.EAI_AGAIN: _NO_NAME,
    errno.EACCES: "the SVM's user may not use this port: give one of 1024 or more",
}


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

    def why_not(self) -> str:
        """Why nobody can listen there, and what to do: gRPC does not say, the kernel is asked once more."""
        if self.path is not None:
            return f"see that {self.path.parent} is there, and that the SVM's user may write in it"
        host, _, port = self.target.rpartition(":")
        try:
            with socket.socket(socket.AF_INET6 if host.startswith("[") else socket.AF_INET) as tried:
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tried.bind((host.strip("[]"), int(port)))
        except OSError as error:
            return _REASONS.get(error.errno or 0) or error.strerror or str(error)
        return "something else has listened there: try again"


@dataclass(frozen=True, slots=True)
class ServerBounds:
    """What anybody may hold of a server, before it is known who he is.

    streams: calls of one connection. connections: of everybody together.
    health_calls: to the health and reflection services, of everybody together.
    idle_seconds: a connection on which no call is open is closed after so long: an attached guest has one
    open all the time. handshake_seconds: that one has to say that it speaks HTTP/2, and on TLS who it is.
    """

    streams: int = 16
    connections: int = 1024
    health_calls: int = PLACES
    idle_seconds: float = 60.0
    handshake_seconds: float = 10.0
    message_bytes: int = wire.MAX_MESSAGE_BYTES + _SLACK_BYTES


class Server:
    """A gRPC server with the standard health and reflection services beside its own.

    gate: what every call passes before its service hears of it. on_made_way: told of each call to the health
    or reflection service that made way for a later one.
    """

    def __init__(
        self,
        address: Address,
        mode: int,
        callers: Callers,
        bounds: ServerBounds = ServerBounds(),
        credentials: grpc.ServerCredentials | None = None,
        on_refused: Callable[[str, str, str], None] = lambda _kind, _who, _why: None,
    ) -> None:
        """mode: of the unix socket, if it is one. credentials: of TLS, on TCP. on_refused: see Gate."""
        self._address = address
        self._mode = mode
        self._credentials = credentials
        self.gate = Gate(callers, on_refused)
        self.grpc = grpc.aio.server(
            interceptors=(self.gate,),
            options=(
                *_OPTIONS,
                ("grpc.max_receive_message_length", bounds.message_bytes),
                ("grpc.max_concurrent_streams", bounds.streams),
                ("grpc.max_allowed_incoming_connections", bounds.connections),
                ("grpc.max_connection_idle_ms", int(bounds.idle_seconds * 1000)),
                ("grpc.server_handshake_timeout_ms", int(bounds.handshake_seconds * 1000)),
            ),
        )
        self.on_made_way: list[Callable[[], None]] = []
        self._unticketed = Unticketed(callers.name, bounds.health_calls, self._made_way)
        self._unticketed.add_to(self.grpc)

    def _made_way(self) -> None:
        for listener in self.on_made_way:
            listener()

    async def start(self, *names: str) -> None:
        """Listen, and report the services `names` as serving. Raises CannotListen."""
        bound = 0
        with suppress(RuntimeError):  # whose words name no reason
            if self._credentials is None:
                bound = self.grpc.add_insecure_port(self._address.target)
            else:
                bound = self.grpc.add_secure_port(self._address.target, self._credentials)
        if not bound:
            raise CannotListen(f"cannot listen on {self._address.target}: {self._address.why_not()}")
        await self.grpc.start()
        if self._address.path is not None:
            os.chmod(self._address.path, self._mode)
        self._unticketed.serve(*names)

    async def retire(self) -> None:
        """Report NOT_SERVING from now on."""
        self._unticketed.retire()

    async def stop(self, grace: float) -> None:
        """Take no new calls, give those under way `grace` seconds, then cut them."""
        await self.grpc.stop(grace)
        if self._address.path is not None:
            self._address.path.unlink(missing_ok=True)
