"""The driver, against a local server that stands in for the service and goes wrong as it is told to."""

import asyncio
import dataclasses
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.domain.policy import Mode
from appliance.ksn.opentip import MAX_ANSWER_BYTES, BadEndpoint, Endpoint, OpenTip
from appliance.ksn.reputation import Answer, Call, Part, ReputationError, Request, Subject, Trouble
from appliance.ksn.statement import FIELDS, HEADERS, fields_of, request_for, statistics, submission
from appliance.ksn.zones import Zone
from tests.support import misbehaving_ksn as ksn
from tests.support.certificates import self_signed
from tests.support.connect_proxy import connect_proxy
from tests.support.misbehaving_ksn import MisbehavingKsn
from tests.support.scanning import until

DIGEST = "ab" * 32
HASH = request_for(Subject(Call.HASH, DIGEST), Mode.STANDARD)
KEY = "the-secret-key"
PATIENCE = 30.0  # seconds that a test would wait for an answer that comes
SHORT = 0.2  # seconds after which a test has waited enough for one that does not
PART = Part(b"d" * 32, 0, b"some content")
SUBJECTS = [
    Subject(Call.HASH, DIGEST),
    Subject(Call.URL, "http://example.com/%3F+x&y;z", "q=%26&r=1+2"),
    Subject(Call.DOMAIN, "example.com"),
    Subject(Call.IP, "2a00::1"),
]


@pytest.fixture
async def service() -> AsyncIterator[MisbehavingKsn]:
    """The stand-in, listening."""
    stand_in = MisbehavingKsn()
    await stand_in.start()
    yield stand_in
    await stand_in.stop()


@pytest.fixture
async def driver(service: MisbehavingKsn) -> AsyncIterator[OpenTip]:
    """A driver of it."""
    made = OpenTip("stand-in", Endpoint(service.base_url, KEY, ours=True))
    yield made
    await made.close()


async def trouble(driver: OpenTip, request: Request = HASH, seconds: float = PATIENCE) -> Trouble:
    """How a question fails; its sentence names the service and not the key."""
    with pytest.raises(ReputationError) as caught:
        await driver.ask(request, seconds)
    assert KEY not in str(caught.value)
    assert len(str(caught.value)) > 10
    return caught.value.trouble


async def test_a_known_digest_is_answered(service: MisbehavingKsn, driver: OpenTip) -> None:
    """The question goes out as documented, with the key."""
    assert await driver.ask(HASH, PATIENCE) == Answer(Zone.RED, "EICAR-Test-File", hits=1000)
    (received,) = service.received
    assert (received.method, received.path) == ("GET", "/api/v1/search/hash")
    assert received.query == [("request", DIGEST)]
    assert received.headers["x-api-key"] == KEY


async def test_not_found_is_an_answer(service: MisbehavingKsn, driver: OpenTip) -> None:
    """And the next question is asked as if nothing had happened."""
    service.act = ksn.says(b"", 404, "text/html")
    assert await driver.ask(HASH, PATIENCE) == Answer(Zone.NOT_FOUND)
    service.act = ksn.answers({"Zone": "Green"})
    assert (await driver.ask(HASH, PATIENCE)).zone is Zone.GREEN


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, Trouble.BAD_QUERY),
        (401, Trouble.REFUSED),
        (403, Trouble.QUOTA),
        (413, Trouble.TOO_LARGE),
        (414, Trouble.TOO_LARGE),
        (418, Trouble.MALFORMED),
        (429, Trouble.QUOTA),
        (500, Trouble.UNREACHABLE),
        (503, Trouble.UNREACHABLE),
        (204, Trouble.MALFORMED),
    ],
)
async def test_each_status_has_its_meaning(
    service: MisbehavingKsn, driver: OpenTip, status: int, expected: Trouble
) -> None:
    """As the table of the service's documents has them, and what clients have met besides."""
    service.act = ksn.says(b"", status)
    assert await trouble(driver) is expected


@pytest.mark.parametrize(
    "fault",
    [
        ksn.breaks_off,
        ksn.talks_nonsense,
        ksn.never_ends,
        ksn.says(b'{"Zone":"Re'),
        ksn.says(b"<html>", content_type="text/html"),
        ksn.says(b'{"Zone":"Green"}', content_type="text/plain"),
        ksn.says(b'{"Zone":"Green"}', Content_Encoding="gzip"),
        ksn.says(b" " * MAX_ANSWER_BYTES + b'{"Zone":"Green"}'),
    ],
    ids=["breaks off", "nonsense", "endless", "truncated", "html", "text", "packed", "large"],
)
async def test_what_is_no_answer_is_malformed(
    service: MisbehavingKsn, driver: OpenTip, fault: ksn.Fault
) -> None:
    """None of it is taken for an answer."""
    service.act = fault
    assert await trouble(driver) is Trouble.MALFORMED


@pytest.mark.parametrize("fault", [ksn.hangs, ksn.drips], ids=["hangs", "drips"])
async def test_every_wait_has_an_end(service: MisbehavingKsn, driver: OpenTip, fault: ksn.Fault) -> None:
    """A service that says nothing, and one that says it a byte at a time."""
    service.act = fault
    assert await trouble(driver, seconds=SHORT) is Trouble.TIMED_OUT


async def test_a_closed_connection_is_told(service: MisbehavingKsn, driver: OpenTip) -> None:
    """Without a word of the service, or without a service; what was sent is not sent again."""
    service.act = ksn.hangs_up
    assert await trouble(driver) is Trouble.UNREACHABLE
    assert len(service.received) == 1
    await service.stop()
    assert await trouble(driver) is Trouble.UNREACHABLE


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirects_are_not_followed(service: MisbehavingKsn, driver: OpenTip, status: int) -> None:
    """The place that they name is not asked, and so does not get the key."""
    service.act = ksn.says(b"", status, Location="/elsewhere")
    assert await trouble(driver) is Trouble.MALFORMED
    assert [received.path for received in service.received] == ["/api/v1/search/hash"]


async def test_cookies_are_not_kept(service: MisbehavingKsn, driver: OpenTip) -> None:
    """Two questions cannot be told to be of one visitor."""
    service.act = ksn.says(b'{"Zone":"Green"}', Set_Cookie="visitor=7")
    await driver.ask(HASH, PATIENCE)
    await driver.ask(HASH, PATIENCE)
    assert ["cookie" in received.headers for received in service.received] == [False, False]


@pytest.mark.parametrize("mode", list(Mode))
async def test_what_the_service_receives_is_in_the_definition(
    service: MisbehavingKsn, driver: OpenTip, mode: Mode
) -> None:
    """Every parameter, header and body, of every call that the mode has, is a field of the Statement."""
    requests = [request_for(subject, mode) for subject in SUBJECTS]
    figures = {field.name: 1 for field in FIELDS if Call.STATISTICS in field.calls}
    deliveries = [statistics(figures, mode)]
    if mode is Mode.EXTENDED:
        requests.append(request_for(Subject(Call.RESULT, DIGEST), mode))
        deliveries.append(submission(PART, mode))
    for request in requests:
        await driver.ask(request, PATIENCE)
    for request in deliveries:
        await driver.send(request, PATIENCE)
    for request, received in zip(requests + deliveries, service.received, strict=True):
        places = {f"query {name}" for name, _ in received.query}
        if request.call is Call.STATISTICS:
            places |= {f"json {name}" for name in json.loads(received.body)}
        elif received.body:
            places.add("body")
        assert places == {field.place for field in fields_of(request.call, mode)}
        assert received.headers.keys() <= HEADERS.keys()
        if request.call not in {Call.STATISTICS, Call.SUBMIT}:
            assert dict(received.query) == {"request": "".join(value for _, value in request.fields)}
    assert [received.body for received in service.received if b"content" in received.body] == (
        [PART.data] if mode is Mode.EXTENDED else []
    )


async def test_what_is_in_no_field_list_is_not_sent(service: MisbehavingKsn, driver: OpenTip) -> None:
    """A request that was made by hand does not get past the driver."""
    by_hand = Request(Call.HASH, Mode.EXTENDED, (("digest", DIGEST), ("path", "/home/bob/x")))
    assert await trouble(driver, by_hand) is Trouble.NOT_ALLOWED
    assert service.received == []


async def test_statistics_go_to_services_that_take_them(service: MisbehavingKsn) -> None:
    """To others nothing is sent, and that is said."""
    driver = OpenTip("stand-in", Endpoint(service.base_url, KEY))
    assert Call.STATISTICS not in driver.capabilities
    with pytest.raises(ReputationError, match="does not take statistics"):
        await driver.send(statistics({"period": 60}, Mode.STANDARD), PATIENCE)
    await driver.close()
    assert service.received == []


async def test_a_delivery_that_is_not_taken_is_told(service: MisbehavingKsn, driver: OpenTip) -> None:
    """404 to content is not an answer about it."""
    service.act = ksn.says(b"", 404)
    with pytest.raises(ReputationError, match="does not take submit"):
        await driver.send(submission(PART, Mode.EXTENDED), PATIENCE)


async def test_a_cancelled_question_lets_go_of_its_connection(
    service: MisbehavingKsn, driver: OpenTip
) -> None:
    """The next question goes over another one, and is answered."""
    service.act = ksn.hangs
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(driver.ask(HASH, PATIENCE))
        await until(lambda: service.received, "the question arrives")
        asking.cancel()
    service.act = ksn.answers()
    assert (await driver.ask(HASH, PATIENCE)).zone is Zone.RED


async def test_a_closed_driver_asks_no_more(service: MisbehavingKsn, driver: OpenTip) -> None:
    """It may be closed twice, and no session is opened again."""
    await driver.ask(HASH, PATIENCE)
    await driver.close()
    await driver.close()
    assert await trouble(driver) is Trouble.UNREACHABLE
    assert len(service.received) == 1


async def test_a_proxy_is_told_where_to_and_nothing_else(tmp_path: Path) -> None:
    """Of a question, of content and of statistics: no key, no question, no word of what is in the tunnel."""
    shown, service = self_signed(tmp_path, "service"), MisbehavingKsn()
    await service.start(shown.server())
    async with connect_proxy() as proxy:
        endpoint = Endpoint(service.base_url, KEY, shown.certificate, proxy=proxy.url, ours=True)
        for delivery in (None, submission(PART, Mode.EXTENDED), statistics({"period": 60}, Mode.STANDARD)):
            driver = OpenTip("stand-in", endpoint)  # each with a tunnel of its own
            if delivery is None:
                await driver.ask(HASH, PATIENCE)
            else:
                await driver.send(delivery, PATIENCE)
            await driver.close()
    await service.stop()
    assert [received.headers["x-api-key"] for received in service.received] == [KEY] * 3
    assert len(proxy.heads) == 3
    place = f"127.0.0.1:{service.port}"
    for which, head in enumerate(proxy.heads):
        assert head.startswith(f"CONNECT {place} HTTP/1.1\r\n")
        assert proxy.headers(which) == {
            "host": place,
            "user-agent": "kvm-light-agent",
            "accept": "application/json",
            "accept-encoding": "identity",
            "proxy-authorization": f"Basic {b64encode(b'svm:secret').decode()}",
        }


async def test_what_is_wrong_with_a_proxy_is_not_said_of_the_service() -> None:
    """One that is dead, and one that wants a password."""
    endpoint = Endpoint("https://ksn.example/", KEY, proxy="http://svm:secret@127.0.0.1:1")
    async with connect_proxy(407) as wanting:
        for proxy, sentence in (
            (endpoint.proxy, "the proxy on the way to stand-in cannot be reached"),
            (wanting.url, r"the proxy does not let through to stand-in \(HTTP 407\)"),
        ):
            driver = OpenTip("stand-in", dataclasses.replace(endpoint, proxy=proxy))
            with pytest.raises(ReputationError, match=sentence) as caught:
                await driver.ask(HASH, PATIENCE)
            assert caught.value.trouble is Trouble.UNREACHABLE
            assert "secret" not in str(caught.value)
            await driver.close()


async def test_a_certificates_own_words_are_kept(tmp_path: Path) -> None:
    """What it lacks is seen in the sentence."""
    shown, service = self_signed(tmp_path, "shown"), MisbehavingKsn()
    await service.start(shown.server())
    driver = OpenTip("stand-in", Endpoint(service.base_url, KEY))
    with pytest.raises(ReputationError, match=r"not trusted \(self-signed certificate\): see ksn.ca_file"):
        await driver.ask(HASH, PATIENCE)
    await driver.close()
    await service.stop()


async def test_tls_with_an_authority_of_ones_own(tmp_path: Path) -> None:
    """The CA file vouches for the service; without it, or with another's, nothing is sent."""
    own, other = self_signed(tmp_path, "own"), self_signed(tmp_path, "other")
    service = MisbehavingKsn()
    await service.start(own.server())
    for ca_file in (None, other.certificate):
        driver = OpenTip("stand-in", Endpoint(service.base_url, KEY, ca_file))
        assert await trouble(driver) is Trouble.UNREACHABLE
        await driver.close()
    assert service.received == []
    driver = OpenTip("stand-in", Endpoint(service.base_url, KEY, own.certificate))
    assert (await driver.ask(HASH, PATIENCE)).zone is Zone.RED
    await driver.close()
    await service.stop()


async def test_a_certificate_for_another_host_is_not_trusted(tmp_path: Path) -> None:
    """Even where its authority is."""
    elsewhere = self_signed(tmp_path, "elsewhere", "127.0.0.2")
    service = MisbehavingKsn()
    await service.start(elsewhere.server())
    driver = OpenTip("stand-in", Endpoint(service.base_url, KEY, elsewhere.certificate))
    assert await trouble(driver) is Trouble.UNREACHABLE
    assert service.received == []
    await driver.close()
    await service.stop()


async def test_a_client_certificate_is_shown_to_services_that_want_one(tmp_path: Path) -> None:
    """With it the question is answered, without it there is no connection."""
    server, client = self_signed(tmp_path, "server"), self_signed(tmp_path, "client")
    service = MisbehavingKsn()
    await service.start(server.server(clients=client))
    without = Endpoint(service.base_url, KEY, server.certificate)
    driver = OpenTip("stand-in", without)
    assert await trouble(driver) is Trouble.UNREACHABLE
    await driver.close()
    shown = dataclasses.replace(without, certificate=client.certificate, certificate_key=client.key)
    driver = OpenTip("stand-in", shown)
    assert (await driver.ask(HASH, PATIENCE)).zone is Zone.RED
    await driver.close()
    await service.stop()


@pytest.mark.parametrize(
    ("endpoint", "sentence"),
    [
        (Endpoint("ftp://example.com/"), "is no base URL"),
        (Endpoint("https:///x"), "is no base URL"),
        (Endpoint("https://[/"), "is no base URL"),
        (Endpoint("https://bob:pw@example.com/"), "is no base URL"),
        (Endpoint("http://ksn.example.com/"), "in the clear"),
        (Endpoint("http://localhost:9/api", proxy="http://127.0.0.1:3128"), "to the proxy in the clear"),
        (Endpoint("https://example.com/", "key\r\nx: y"), "printable ASCII"),
        (Endpoint("https://example.com/", ca_file=Path("/nowhere.pem")), "/nowhere.pem"),
    ],
)
def test_an_endpoint_that_cannot_work_is_refused(endpoint: Endpoint, sentence: str) -> None:
    """With a sentence, before anything is asked."""
    with pytest.raises(BadEndpoint, match=sentence):
        OpenTip("x", endpoint)


async def test_another_key_counts_from_the_next_request_on(service: MisbehavingKsn) -> None:
    """No connection need end for it; none is sent where there is none any more."""
    driver = OpenTip("stand-in", Endpoint(service.base_url, KEY))
    said = []
    for key in (KEY, "another-key", ""):
        said.append(driver.use_key(key))
        await driver.ask(HASH, PATIENCE)
    await driver.close()
    assert said == [False, True, True]
    assert [each.headers.get("x-api-key") for each in service.received] == [KEY, "another-key", None]


async def test_a_key_that_is_none_is_not_taken(service: MisbehavingKsn) -> None:
    """The one before counts on."""
    driver = OpenTip("stand-in", Endpoint(service.base_url, KEY))
    with pytest.raises(BadEndpoint, match="printable ASCII"):
        driver.use_key("key\r\nx: y")
    await driver.ask(HASH, PATIENCE)
    await driver.close()
    assert service.received[0].headers["x-api-key"] == KEY


def test_the_key_is_not_printed() -> None:
    """Nor the proxy, which may hold a password."""
    assert "secret" not in repr(Endpoint(api_key="secret", proxy="http://bob:secret@proxy:3128"))
