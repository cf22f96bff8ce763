"""Web addresses as a guest asks about them: a real SVM, real gRPC, a service over HTTP that can fail."""

import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from lightagent.v1 import guest_pb2, verdict_pb2

from appliance.domain.policy import DEFAULT_TENANT, Mode
from appliance.ksn.lists import UrlLists
from appliance.ksn.web import Clocks, Web, WebTerms
from appliance.ksn.weburl import parse_url
from appliance.rpc.guest import GuestService
from appliance.rpc.identity import ByTicket, Callers
from appliance.rpc.server import Address, Server
from appliance.rpc.terms import Terms
from appliance.rpc.tickets import TicketOffice
from tests.support import misbehaving_ksn as faults
from tests.support.ksn import KsnSvm, ksn_svm
from tests.support.misbehaving_ksn import Connection, Fault
from tests.support.svm import DEADLINE, RawGuest, until

URL = "http://user:hunter2@www.shop.example.co.uk/a.exe?token=s3cret#f"
ASKED = ["http://www.shop.example.co.uk/a.exe", "www.shop.example.co.uk", "example.co.uk"]
RED = {"Zone": "Red", "UrlGeneralInfo": {"CategoriesWithZone": [{"Name": "Phishing", "Zone": "Red"}]}}


def knows(zones: Mapping[str, object]) -> Fault:
    """A service that knows these alone."""

    async def act(connection: Connection) -> None:
        found = zones.get(dict(connection.received.query)["request"])
        await connection.reply(
            404 if found is None else 200, b"" if found is None else json.dumps(found).encode()
        )

    return act


@dataclass
class WebSide:
    """An SVM with a door for guests at which web addresses are asked about."""

    ksn: KsnSvm
    guest: RawGuest

    async def check(self, url: str = URL, seconds: int = 10) -> guest_pb2.CheckUrlReply:
        """Ask as a guest that is not attached."""
        request = guest_pb2.CheckUrlRequest(url=url, budget=Duration(seconds=seconds))
        reply = await self.guest.stub.CheckUrl(request, metadata=self.guest.metadata, timeout=DEADLINE)
        assert isinstance(reply, guest_pb2.CheckUrlReply)
        return reply

    def asked(self) -> list[str]:
        """What the service was asked about."""
        return [dict(received.query)["request"] for received in self.ksn.service.received]


@dataclass(frozen=True)
class Door:
    """Where guests come in."""

    target: str


@asynccontextmanager
async def web_side(directory: Path, lists: UrlLists | None = None, **settings: Any) -> AsyncIterator[WebSide]:
    """An SVM with KSN enabled, and CheckUrl served over it. settings: of [ksn]."""
    async with ksn_svm(directory, **settings) as ksn:
        parts = ksn.svm.parts
        network = parts.ksn.network
        assert network is not None
        clocks = Clocks(time.monotonic, time.time)
        web = Web(lists or UrlLists(), network.participants, network.asking, WebTerms(), clocks)
        door = Door(f"unix:{directory}/web.sock")
        async with TicketOffice(directory / "web.sock.id", 0o600) as office:
            callers = Callers(ByTicket(office))
            server = Server(Address.parse(door.target), 0o600, callers)
            GuestService(
                callers,
                parts.sessions,
                parts.protection,
                parts.spool,
                Terms(ksn.svm.settings.limits, Duration(seconds=3600)),
                check_url=web.check,
            ).add_to(server.grpc)
            await server.start("lightagent.v1.Protection")
            try:
                async with RawGuest.connect(door, attach=False) as guest:
                    yield WebSide(ksn, guest)
            finally:
                await server.stop(0)


@pytest.mark.parametrize(("step", "matched"), [(0, "url"), (1, "host"), (2, "domain")])
async def test_an_address_is_known_by_url_host_or_domain(tmp_path: Path, step: int, matched: str) -> None:
    """Asked about in that order; neither credentials nor query leave, and the second time nothing does."""
    async with web_side(tmp_path) as side:
        await side.ksn.accept()
        side.ksn.service.act = knows({ASKED[step]: RED})
        reply = await side.check()
        assert (reply.outcome, reply.matched) == (guest_pb2.URL_OUTCOME_MALICIOUS, matched)
        assert (reply.category, reply.source) == ("Phishing", verdict_pb2.SOURCE_KSN)
        assert reply.valid_for.seconds > 0
        assert side.asked() == ASKED[: step + 1]
        assert "hunter2" not in repr(side.ksn.service.received)
        assert "s3cret" not in repr(side.ksn.service.received)
        assert (await side.check()).outcome == guest_pb2.URL_OUTCOME_MALICIOUS
        assert len(side.asked()) == step + 1
        ledger = await side.ksn.ledger()
        assert [entry["call"] for entry in ledger if "call" in entry] == ["url", "domain", "domain"][
            : step + 1
        ]


async def test_in_extended_mode_the_query_string_leaves_and_credentials_do_not(tmp_path: Path) -> None:
    """As the Statement says of it."""
    async with web_side(tmp_path, mode_limit="extended") as side:
        await side.ksn.accept(mode=Mode.EXTENDED)
        side.ksn.service.act = knows({})
        assert (await side.check()).outcome == guest_pb2.URL_OUTCOME_UNKNOWN
        assert side.asked()[0] == f"{ASKED[0]}?token=s3cret"
        assert "hunter2" not in repr(side.ksn.service.received)


FAULTS: dict[str, Fault] = {
    "quota": faults.says(b"", 403),
    "key refused": faults.says(b"", 401),
    "down": faults.says(b"", 503),
    "hangs": faults.hangs,
    "drips": faults.drips,
    "breaks off": faults.breaks_off,
    "hangs up": faults.hangs_up,
    "no HTTP": faults.talks_nonsense,
    "endless": faults.never_ends,
    "no JSON": faults.says(b"<html>"),
    "redirect": faults.says(b"", 302, Location="http://127.0.0.1:9/"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_whatever_the_service_does_the_guest_is_answered_in_time(tmp_path: Path, name: str) -> None:
    """Not known, with a reason, and nothing to keep; the ledger has what was sent."""
    async with web_side(tmp_path) as side:
        await side.ksn.accept()
        side.ksn.service.act = FAULTS[name]
        reply = await side.check()
        assert reply.outcome == guest_pb2.URL_OUTCOME_UNKNOWN
        assert reply.reason.startswith("KSN gave no answer: ")
        assert not reply.HasField("valid_for")
        network = side.ksn.svm.parts.ksn.network
        assert network is not None
        await until(lambda: network.asking.under_way == 0, "the request has ended")
        assert len(await side.ksn.ledger()) == 2


async def test_a_list_answers_without_a_request(tmp_path: Path) -> None:
    """Also for who takes no part; for what stands in none, that one is told why KSN was not asked."""
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "bad.txt").write_text("www.shop.example.co.uk\n")
    lists = UrlLists([tmp_path / "lists"])
    lists.reload()
    async with web_side(tmp_path, lists) as side:
        reply = await side.check()
        assert (reply.outcome, reply.matched) == (guest_pb2.URL_OUTCOME_MALICIOUS, "list")
        other = await side.check("http://other.example.com/x")
        assert other.outcome == guest_pb2.URL_OUTCOME_UNKNOWN
        assert other.reason.startswith("KSN was not asked: the tenant has no policy")
        await side.ksn.accept()
        await side.check()
        assert side.asked() == []


async def test_who_takes_part_no_more_sees_no_answer_of_ksn(tmp_path: Path) -> None:
    """Neither from memory nor anew."""
    async with web_side(tmp_path) as side:
        await side.ksn.accept()
        side.ksn.service.act = knows({ASKED[0]: RED})
        await side.check()
        await side.ksn.decline()
        assert (await side.check()).outcome == guest_pb2.URL_OUTCOME_UNKNOWN
        assert len(side.asked()) == 1


async def test_what_is_no_address_is_an_answer(tmp_path: Path) -> None:
    """Which says why."""
    async with web_side(tmp_path) as side:
        reply = await side.check("mailto://x")
        assert reply.outcome == guest_pb2.URL_OUTCOME_NO_URL
        assert "no scheme of the web" in reply.reason


async def test_an_administrator_looks_up_an_address(tmp_path: Path) -> None:
    """Whatever is known already; he is told what the answer is about."""
    async with web_side(tmp_path) as side:
        await side.ksn.accept()
        side.ksn.service.act = knows({ASKED[1]: RED})
        view = await side.ksn.control.look_up_url(DEFAULT_TENANT, parse_url(URL))
        assert view.answer is not None
        assert (view.answer.zone, view.asked) == ("Red", f"domain {ASKED[1]}")
