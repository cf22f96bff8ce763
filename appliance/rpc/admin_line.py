"""How the `svm` commands reach an SVM: its administration socket, or TCP with a certificate.

A line is opened for the length of a `with`: the channel, and what goes with every call on it.
"""

import asyncio
import os
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import grpc

from appliance.config_forms import AddressOrNothing
from appliance.domain.identity import SERVER_NAME

MAX_REPLY_BYTES = 64 * 1024 * 1024
MAX_PEM_BYTES = 256 * 1024
_TICKET_BYTES = 33  # 32 hexadecimal digits and a newline
# gRPC's words for a connection that was taken, and closed from the other side: a full door does that before
# TLS is spoken, and TLS 1.3 behind the handshake where it does not take the certificate.
_CLOSED = ("socket closed", "reset by peer", "handshake read failed", "broken pipe")
_OPTIONS = (("grpc.max_receive_message_length", MAX_REPLY_BYTES),)
_NAMED_OPTIONS = (*_OPTIONS, ("grpc.ssl_target_name_override", SERVER_NAME))


class AdminError(Exception):
    """The SVM did not do what was asked. The message says what happened and what to do."""


@dataclass(frozen=True, slots=True)
class OpenLine:
    """A channel to an SVM, and what goes with every call."""

    channel: grpc.Channel
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class OpenAsyncLine:
    """The same for calls of an event loop; who opened it closes the channel."""

    channel: grpc.aio.Channel
    metadata: tuple[tuple[str, str], ...] = ()


class AdminLine(Protocol):
    """A way to an SVM."""

    def __str__(self) -> str:
        """Where it leads, for sentences: "the SVM on ..."."""

    def open(self, seconds: float, stack: ExitStack) -> OpenLine:
        """Open it, in so many seconds; it is closed when the stack unwinds. Raises AdminError."""

    async def open_async(self, seconds: float, stack: ExitStack) -> OpenAsyncLine:
        """The same on an event loop; all but the channel is closed when the stack unwinds."""

    def why_unavailable(self, details: str) -> str:
        """Why nobody answers a call any more, or from the beginning. details: gRPC's words."""


@dataclass(frozen=True, slots=True)
class SocketLine:
    """By the administration socket of an SVM on this machine."""

    path: str

    def __str__(self) -> str:
        return self.path

    def open(self, seconds: float, stack: ExitStack) -> OpenLine:
        """Get a ticket, and open the channel."""
        companion, ticket = self._get_ticket(seconds)
        stack.callback(companion.close)
        channel = grpc.insecure_channel(self._target(), _OPTIONS)
        stack.callback(channel.close)
        return OpenLine(channel, (("ticket", ticket),))

    async def open_async(self, seconds: float, stack: ExitStack) -> OpenAsyncLine:
        """Get a ticket, and open the channel."""
        companion, ticket = await asyncio.to_thread(self._get_ticket, seconds)
        stack.callback(companion.close)
        channel = grpc.aio.insecure_channel(self._target(), _OPTIONS)
        return OpenAsyncLine(channel, (("ticket", ticket),))

    def _target(self) -> str:
        return f"unix:{os.path.abspath(self.path)}"

    def why_unavailable(self, _details: str) -> str:
        """It was there when the ticket was fetched."""
        return f"the SVM on {self} went away, is stopping, or has no room for more: see its log, ask again"

    def _get_ticket(self, seconds: float) -> tuple[socket.socket, str]:
        """Return the companion connection, which must stay open, and the ticket it gave."""
        companion = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line = b""
        try:
            companion.settimeout(seconds)
            companion.connect(self.path + ".id")
            while not line.endswith(b"\n") and (more := companion.recv(1024)) and len(line) < 1024:
                line += more
        except OSError as error:
            companion.close()
            raise AdminError(self._why_unreachable(error)) from error
        if len(line) != _TICKET_BYTES or not line.endswith(b"\n"):
            companion.close()
            why = line.decode("utf-8", "replace").strip() or "it has too many callers; try again"
            raise AdminError(f"the SVM on {self} admits nobody now: {why}")
        return companion, line.decode("ascii", "replace").strip()

    def _why_unreachable(self, error: OSError) -> str:
        if isinstance(error, PermissionError):
            return f"no right to use {self}: run this as the user that runs the SVM, or as root"
        if isinstance(error, TimeoutError):
            return f"the SVM on {self} does not answer: see its log, or restart it"
        if isinstance(error, FileNotFoundError | ConnectionError):
            return f"no SVM answers on {self}: is `svm serve` running? Start it, or give its --socket"
        return f"{self} cannot be used: {error.strerror or error}; give the SVM's --socket"


@dataclass(frozen=True, slots=True)
class CertificateLine:
    """By TCP, with an administrator's certificate.

    address: HOST:PORT. directory: where ca.pem, administrator.pem and administrator.key lie.
    """

    address: str
    directory: Path

    def __str__(self) -> str:
        return self.address

    def open(self, _seconds: float, stack: ExitStack) -> OpenLine:
        """Open the channel; it is connected with the first call."""
        channel = grpc.secure_channel(self._place(), self._credentials(), _NAMED_OPTIONS)
        stack.callback(channel.close)
        return OpenLine(channel)

    async def open_async(self, _seconds: float, _stack: ExitStack) -> OpenAsyncLine:
        """Open the channel; it is connected with the first call."""
        return OpenAsyncLine(grpc.aio.secure_channel(self._place(), self._credentials(), _NAMED_OPTIONS))

    def _place(self) -> str:
        """The address, or AdminError for what is none: gRPC would try a port that nobody has named."""
        if problem := AddressOrNothing().problem(self.address):
            raise AdminError(f"{problem}: that of the SVM's server.admin_listen")
        return self.address

    def _credentials(self) -> grpc.ChannelCredentials:
        authority, chain, key = (
            self._read(name) for name in ("ca.pem", "administrator.pem", "administrator.key")
        )
        return grpc.ssl_channel_credentials(authority, key, chain)

    def why_unavailable(self, details: str) -> str:
        """Nobody listens there, or not with a certificate of this authority, or it lets nobody in."""
        said = details.lower()
        if any(word in said for word in _CLOSED):
            return (
                f"{self} closed the connection before it answered: so does an SVM that has as many "
                "connections as it takes (try again in a while), that is stopping, or that does not take "
                f"the certificate in {self.directory} (give the --identity that it issued)"
            )
        if "handshake" in said or "ssl" in said:
            return (
                f"{self} is no SVM of the authority in {self.directory / 'ca.pem'}: give the SVM's --server "
                "and the --identity that it issued"
            )
        return f"no SVM answers on {self}: is `svm serve` running there, with server.admin_listen set?"

    def _read(self, name: str) -> bytes:
        path = self.directory / name
        try:
            with path.open("rb") as file:
                pem = file.read(MAX_PEM_BYTES + 1)
        except OSError as error:
            raise AdminError(
                f"{path}: {error.strerror or error}; give --identity the directory that "
                "`svm certificates issue` made"
            ) from error
        if len(pem) > MAX_PEM_BYTES or b"-----BEGIN " not in pem:
            raise AdminError(f"{path} holds no certificate or key as PEM: have it issued anew")
        return pem
