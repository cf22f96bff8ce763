"""The guest's certificate: the first one by a token, the next by the one before. One question each."""

import asyncio
from dataclasses import dataclass

import grpc
from lightagent.v1.enrolment_pb2 import DESCRIPTOR, Enrolled, EnrolRequest, RenewRequest

from guest_stub.svm_link.link import Connection, connect, secure_channel, unreachable
from guest_stub.svm_link.target import Svm
from guest_stub.svm_link.wire import seconds as seconds_of

ANSWER_SECONDS = 30.0
MAX_HOST_NAME_BYTES = 256
_ENROLMENT, _RENEWAL = (DESCRIPTOR.services_by_name[name].full_name for name in ("Enrolment", "Renewal"))
_LONGEST_SECONDS = 10 * 366 * 86_400.0  # of a certificate; whoever says more is not followed

_OTHER_PORT = (
    "nobody enrols at this port: ask whoever runs the SVM for `server.enrolment`, and give --enrolment-port"
)
_SENTENCES = {
    grpc.StatusCode.UNAUTHENTICATED: "the SVM does not take the token: it is wrong, was used, or is over: "
    "have another made by `svm guests token`",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "too many guests enrol from this address: try again in a minute",
    grpc.StatusCode.UNIMPLEMENTED: _OTHER_PORT,
}
_OF_RENEWAL = {
    grpc.StatusCode.UNIMPLEMENTED: "this SVM is older than this guest-stub and renews nothing",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "this guest has just asked too often: it is tried again later",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered, and nothing of it checked. Certificates: DER. renew_after: seconds from now."""

    certificate: bytes
    chain: tuple[bytes, ...]
    guest: str
    tenant: str
    renew_after: float


@dataclass(frozen=True, slots=True)
class Asked:
    """What a guest says of itself. request: PKCS#10, DER. machine: 32 bytes."""

    request: bytes
    machine: bytes
    host_name: str = ""


async def enrol(place: str, authority: bytes, token: str, asked: Asked) -> Answer:
    """Ask for a certificate at "host:port", an SVM of this authority (PEM). Raises SvmUnreachable."""
    host_name = asked.host_name.encode(errors="replace")[:MAX_HOST_NAME_BYTES].decode(errors="ignore")
    said = EnrolRequest(token=token, csr=asked.request, machine=asked.machine, host_name=host_name)
    with unreachable(f"tcp:{place}", ANSWER_SECONDS, _SENTENCES):
        connection = Connection(secure_channel(place, authority, None), None)
        return await _ask(connection, "Enrol", _ENROLMENT, said)


async def renew(svm: Svm, asked: Asked) -> Answer:
    """Ask for the next certificate, by the one that there is. Raises SvmUnreachable."""
    said = RenewRequest(csr=asked.request, machine=asked.machine)
    with unreachable(svm, ANSWER_SECONDS, _OF_RENEWAL):
        return await _ask(await connect(svm), "Renew", _RENEWAL, said)


async def _ask(connection: Connection, name: str, service: str, said: EnrolRequest | RenewRequest) -> Answer:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            method = connection.unary(name, service)
            answered = Enrolled.FromString(
                await method(said.SerializeToString(), metadata=connection.metadata, timeout=ANSWER_SECONDS)
            )
    finally:
        await connection.close()
    return Answer(
        answered.certificate,
        tuple(answered.chain),
        answered.guest,
        answered.tenant,
        min(max(0.0, seconds_of(answered.renew_after)), _LONGEST_SECONDS),
    )
