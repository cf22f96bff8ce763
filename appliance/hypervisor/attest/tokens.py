"""Asks the SVM for a token: for one machine's UUID, and the key that it has named."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from google.protobuf.duration_pb2 import Duration
from lightagent.v1 import identity_pb2

from appliance.hypervisor.attest.conversation import NoToken
from appliance.hypervisor.attest.messages import Offer
from appliance.rpc.admin_client import AdminClient, AdminError

TOKEN_SECONDS = 300  # long enough for a slow machine to enrol, short enough that few wait to be used
AT_ONCE = 4  # calls to the SVM; each machine has one under way at the most

T = TypeVar("T")


class Svm(Protocol):
    """The way to the SVM: `svm_line.SvmLine`."""

    async def ask(self, call: Callable[[AdminClient], T]) -> T:
        """Return what a call gives, which runs in a thread. Raises AdminError."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Whose token it is. tenant: "" for the SVM's usual one.

    by_order: somebody wants just this machine to enrol; else it comes back by itself, and not where it was
    revoked.
    """

    uuid: str
    tenant: str = ""
    by_order: bool = False


@dataclass(frozen=True, slots=True)
class _Given:
    key_sha256: bytes
    offer: Offer
    until: float


class Tokens:
    """For all machines of this host agent."""

    def __init__(self, svm: Svm, address: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        """address: of the SVM as guests reach it, where the SVM does not know that. clock: seconds."""
        self._svm = svm
        self._address = address
        self._clock = clock
        self._given: dict[str, _Given] = {}  # in memory alone, for as long as they count
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def offer(self, machine: Machine, key_sha256: bytes) -> Offer:
        """A token for a machine with this key. Raises NoToken.

        Where the SVM makes none, since the machine has a certificate by now: the one that it was handed for
        the same key, with which it gets that certificate once more, if the answer was lost on its way.
        """
        request = identity_pb2.CreateTokenRequest(
            tenant=machine.tenant,
            uuid=machine.uuid,
            ttl=Duration(seconds=TOKEN_SECONDS),
            key_sha256=key_sha256,
            not_revoked=not machine.by_order,
        )
        self._forget_old()
        try:
            async with self._turns:
                made = await self._svm.ask(lambda svm: svm.create_token(request))
        except AdminError as error:
            given = self._given.get(machine.uuid)
            if given is not None and given.key_sha256 == key_sha256:
                return given.offer
            raise NoToken(str(error)) from error
        offer = self._offer(machine, made)
        self._given[machine.uuid] = _Given(key_sha256, offer, self._clock() + TOKEN_SECONDS)
        return offer

    def _offer(self, machine: Machine, made: identity_pb2.CreateTokenReply) -> Offer:
        return Offer(
            made.token,
            machine.uuid,
            self._told(made.guests, "server.listen"),
            self._told(made.enrolment, "server.enrolment"),
            made.authority_sha256,
        )

    def _told(self, address: str, setting: str) -> str:
        """HOST:PORT for guests of what the SVM says. Raises NoToken."""
        host, _, port = address.rpartition(":")
        if not port:
            raise NoToken(f"the SVM has no door on TCP for that: set {setting} of the SVM")
        host = host or (f"[{self._address}]" if ":" in self._address else self._address)
        if not host:
            raise NoToken(
                "the SVM does not know its own address: give it to svm init as --address, or to svm-host as "
                "enrolment.svm of its settings"
            )
        return f"{host}:{port}"

    def _forget_old(self) -> None:
        now = self._clock()
        for uuid in [uuid for uuid, given in self._given.items() if given.until <= now]:
            del self._given[uuid]
