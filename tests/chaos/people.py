"""Who is there in a run: guests that ask, stubs, and the officers of two tenants."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from lightagent.v1 import identity_pb2

from appliance.identity.keys import key_pem
from appliance.rpc.admin_client import AdminClient
from guest_stub.svm_link.target import Proof
from tests.chaos.book import Book
from tests.chaos.broken import Broken
from tests.chaos.officer import DEADLINE, Officer
from tests.chaos.serving import Serving
from tests.support.commands import svm_program
from tests.support.stub_program import guest_stub
from tests.support.tls_guest import TlsGuest

GUESTS = 3
TENANTS = ("red", "blue")  # of the officers; everybody else is of "default"


@dataclass
class People:
    """scanner, daemon: state directories of stubs that are enrolled."""

    serving: Serving
    guests: list[TlsGuest]
    reporter: TlsGuest
    scanner: Path
    daemon: Path
    officers: list[Officer]

    def proof(self) -> Proof:
        """What the reporter of events shows."""
        own = self.reporter
        return Proof(own.ca, own.certificate, key_pem(own.key), 0.0, float("inf"))


async def gather(serving: Serving, book: Book) -> People:
    """Enrol everybody at an SVM that serves."""
    guests = [await _enrolled(serving) for _ in range(GUESTS + 1)]
    scanner, daemon = serving.directory / "scan-state", serving.directory / "daemon-state"
    for state in (scanner, daemon):
        await _enrol_stub(serving, state)
    officers = [Officer(tenant, serving, book.page(tenant)) for tenant in TENANTS]
    return People(serving, guests[1:], guests[0], scanner, daemon, officers)


async def _enrolled(serving: Serving) -> TlsGuest:
    with AdminClient(serving.admin, DEADLINE) as client:
        made = client.create_token(identity_pb2.CreateTokenRequest())
    return await TlsGuest.enrol(serving.enrolment_address, serving.authority, made.token)


async def _enrol_stub(serving: Serving, state: Path) -> None:
    """By the commands that people use."""
    made = svm_program("guests", "token", "--json", "--socket", serving.admin)
    if made.code:
        raise Broken(made.err)
    ended = await guest_stub(*shlex.split(made.json["command"])[1:], "--state", state)
    if ended.code:
        raise Broken(ended.err)
