"""Who a caller is: the one place where a connection becomes a guest or an administrator.

On a unix socket the kernel vouches for a process (see `tickets`), on TCP a certificate of the SVM's own
authority for whom it names. What a request says never counts.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import grpc

from appliance.domain.caller import Caller, NotAdmitted, Role
from appliance.domain.guest import Guest
from appliance.domain.policy import DEFAULT_TENANT
from appliance.rpc.connections import written_peer_of
from appliance.rpc.tickets import PeerCredentials, TicketOffice

_SESSION = re.compile(r"[0-9a-f]{16}")
_TLS_VERSION = b"TLSv1.3"

Context = grpc.aio.ServicerContext[Any, Any]


def session_name(context: Context) -> str:
    """Which of the guest's sessions a call belongs to: what it drew for itself, "" where it says none."""
    name = _metadata(context).get("session", "")
    return name if isinstance(name, str) and _SESSION.fullmatch(name) else ""


def address_of(context: Context) -> str:
    """The caller's address on TCP as people write it, "" where there is none."""
    peer = written_peer_of(context.peer())
    return "" if peer is None else peer[0]


def _metadata(context: Context) -> Mapping[str, str | bytes]:
    return dict(context.invocation_metadata() or ())


class Vouching(Protocol):
    """What a connection proves. Each raises NotAdmitted."""

    def caller(self, context: Context) -> Caller:
        """Who calls."""

    def guest(self, context: Context) -> Guest:
        """Which guest calls."""


class Register(Protocol):
    """Whose a certificate is that the SVM's authority has issued. Each raises NotAdmitted.

    pem: the certificate that the connection has proved to hold the key of.
    """

    def caller(self, pem: bytes) -> Caller:
        """Whom it names, where it counts."""

    def guest(self, pem: bytes) -> Guest:
        """Which guest it names, where it counts."""


def guest_process(owner: PeerCredentials) -> Caller:
    """A process on the guests' socket: it is a guest by itself."""
    return Caller(str(owner), Role.GUEST, DEFAULT_TENANT)


class ByTicket:
    """On a unix socket: the kernel's word."""

    def __init__(
        self, office: TicketOffice, rank: Callable[[PeerCredentials], Caller] = guest_process
    ) -> None:
        """rank: who a process is; raises NotAdmitted where it is nobody."""
        self._office = office
        self._rank = rank

    def caller(self, context: Context) -> Caller:
        """Whose ticket the call was made with."""
        ticket = _metadata(context).get("ticket", "")
        owner = self._office.owner(ticket) if isinstance(ticket, str) else None
        if owner is None:
            raise NotAdmitted(
                "no ticket that counts: connect to the companion socket <path>.id, keep that connection "
                "open, and send the line it gives as metadata `ticket`"
            )
        return self._rank(owner)

    def guest(self, context: Context) -> Guest:
        """The process as a guest."""
        return Guest(self.caller(context).name)


class ByCertificate:
    """On TCP: the certificate that the caller has proved to hold the key of."""

    def __init__(self, register: Register) -> None:
        self._register = register

    def caller(self, context: Context) -> Caller:
        """Whom the certificate names."""
        return self._register.caller(certificate_of(context))

    def guest(self, context: Context) -> Guest:
        """The guest that the certificate names."""
        return self._register.guest(certificate_of(context))


class Nobody:
    """Where callers prove nothing: all that is open there is open to anybody."""

    def caller(self, _context: Context) -> Caller:
        """Nobody."""
        raise NotAdmitted("nobody is known here: this is another door")

    def guest(self, context: Context) -> Guest:
        """No guest."""
        return Guest(self.caller(context).name)


def certificate_of(context: Context) -> bytes:
    """The caller's certificate, PEM. Raises NotAdmitted."""
    proved = context.auth_context()
    version, certificate = list(proved.get("ssl_tls_version", ())), list(proved.get("x509_pem_cert", ()))
    if version != [_TLS_VERSION]:  # the ciphers allow no other (see `tls`): this is the second lock
        raise NotAdmitted("the connection is not one of TLS 1.3: update what connects")
    if len(certificate) != 1:
        raise NotAdmitted("no certificate was shown: enrol first")
    return certificate[0]


class Callers:
    """Turns a call's context into who calls, or ends the call."""

    def __init__(self, vouching: Vouching) -> None:
        """vouching: says what the connections of one door prove."""
        self._vouching = vouching

    def who(self, context: Context) -> Caller:
        """Who calls. Raises NotAdmitted."""
        return self._vouching.caller(context)

    async def caller(self, context: Context) -> Caller:
        """Who calls; ends the call with UNAUTHENTICATED where nobody vouches."""
        try:
            return self._vouching.caller(context)
        except NotAdmitted as error:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))
            raise AssertionError from error  # abort raises

    async def guest(self, context: Context) -> Guest:
        """The guest that calls; ends the call with UNAUTHENTICATED where nobody vouches for it."""
        try:
            return self._vouching.guest(context)
        except NotAdmitted as error:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))
            raise AssertionError from error  # abort raises

    def name(self, context: Context) -> str:
        """A name for who calls, "" where nobody vouches; ends no call."""
        try:
            return self._vouching.caller(context).name
        except NotAdmitted:
            return address_of(context)
