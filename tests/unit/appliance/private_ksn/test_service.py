"""The OpenTIP dialect, over real HTTP."""

import asyncio
import hashlib
import io
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from yarl import URL

from appliance.private_ksn.importing import import_feed
from appliance.private_ksn.reputation import Reputation, Zone
from appliance.private_ksn.service import KEY_HEADER
from appliance.private_ksn.settings import Limits
from appliance.private_ksn.sources import Found
from appliance.private_ksn.store import Store
from appliance.private_ksn.subjects import parse_any
from tests.support.private_ksn import KEY, Served, feed, serving, settings
from tests.support.scanning import until

BAD = parse_any("bad.example").key
BAD_URL = "http://bad.example/x"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with one of each kind."""
    opened = Store.open(tmp_path / "data")
    yellow = ["bad.example", "10.0.0.1", "http://bad.example/x"]
    feed(opened, "a", {"ab" * 32: Zone.RED, "cd" * 16: Zone.GREEN, **dict.fromkeys(yellow, Zone.YELLOW)})
    yield opened
    opened.close()


@pytest.fixture
async def ksn(store: Store, tmp_path: Path) -> AsyncIterator[Served]:
    """The serving store; one request of a key may wait."""
    async with serving(store, settings(tmp_path, Limits(waiting=1, wait_seconds=30))) as served:
        yield served


@pytest.mark.parametrize(
    ("kind", "value", "zone"),
    [
        ("hash", "AB" * 32, "Red"),
        ("hash", "cd" * 16, "Green"),
        ("domain", "Bad.Example", "Yellow"),
        ("ip", "10.0.0.1", "Yellow"),
        ("url", "HTTP://bad.example:80/x#y", "Yellow"),
    ],
)
async def test_what_is_known_is_answered(ksn: Served, kind: str, value: str, zone: str) -> None:
    """However it is spelt."""
    asked = await ksn.get(f"search/{kind}", request=value)
    assert (asked.status, asked.body["Zone"]) == (200, zone)


@pytest.mark.parametrize(
    "query", [f"request={'ab' * 32}", f"request=%61b{'ab' * 31}", f"a=b&request={'ab' * 32}"]
)
async def test_a_question_is_found_however_the_query_is_written(ksn: Served, query: str) -> None:
    """Alone, with escapes, and among other parameters."""
    url = URL(f"http://127.0.0.1:{ksn.ports[0]}/api/v1/search/hash?{query}", encoded=True)
    async with ksn.session.get(url, headers={KEY_HEADER: KEY}) as response:
        assert (response.status, (await response.json())["Zone"]) == (200, "Red")


@pytest.mark.parametrize(
    ("method", "call", "status"),
    [
        ("GET", "nothing", 404),
        ("GET", "search/hash/", 404),
        ("POST", "search/hash", 405),
        ("GET", "scan/file", 405),
        ("HEAD", "search/hash", 200),
    ],
)
async def test_a_call_takes_its_path_and_its_method(ksn: Served, method: str, call: str, status: int) -> None:
    """Anything else is refused; HEAD is GET without the body."""
    url = f"http://127.0.0.1:{ksn.ports[0]}/api/v1/{call}?request={'ab' * 32}"
    async with ksn.session.request(method, url, headers={KEY_HEADER: KEY}) as response:
        assert response.status == status


@pytest.mark.parametrize(
    ("kind", "value", "status"),
    [
        ("hash", "ef" * 32, 404),
        ("url", "http://good.example/", 404),
        ("hash", "xyz", 400),
        ("hash", "", 400),
        ("domain", "a b", 400),
        ("ip", "10.0.0", 400),
        ("url", "http://bad.example", 400),
        ("url", "http://bad.example/" + "a" * 2000, 414),
    ],
)
async def test_what_is_not_known_or_no_question(ksn: Served, kind: str, value: str, status: int) -> None:
    """404, 400, and 414 for a URL that is too long; each says why."""
    asked = await ksn.get(f"search/{kind}", request=value)
    assert asked.status == status
    assert asked.body["message"]


async def test_without_a_key_nothing_is_said(ksn: Served) -> None:
    """A wrong one, none, and every call."""
    for call in ("search/hash", "changes"):
        for key in ("", "wrong", KEY[:-1]):
            assert (await ksn.get(call, key, request="ab" * 32)).status == 401


async def test_a_feed_whose_file_is_gone_is_no_silence(ksn: Served, store: Store) -> None:
    """What cannot be read is answered with 500, not as if nothing were known."""
    for path in store.directory.glob("*.lmdb"):
        path.unlink()
    feed_file = replace(store.feeds()["a"], file="gone.lmdb")
    store.put_feed("a", feed_file, [])
    assert (await ksn.get("search/hash", request="ab" * 32)).status == 500


async def test_more_than_its_rate_is_refused_with_403(store: Store, tmp_path: Path) -> None:
    """As the documents have it."""
    async with serving(store, settings(tmp_path, Limits(requests_per_second=1))) as ksn:
        asked = await asyncio.gather(*(ksn.get("search/hash", request="ab" * 32) for _ in range(10)))
    statuses = [one.status for one in asked]
    assert 200 in statuses
    assert 403 in statuses


async def test_a_submitted_file_waits_for_the_operator(ksn: Served, store: Store, tmp_path: Path) -> None:
    """It is kept under its digest and in progress until the operator's word; one nobody sent is not there."""
    content, sha256 = b"MZ odd", hashlib.sha256(b"MZ odd").hexdigest()
    sent = await ksn.ask("POST", "scan/file", {"filename": "../odd.exe"}, KEY, content)
    assert (sent.status, sent.body["Status"]) == (200, "in progress")
    assert (tmp_path / "data" / "submitted" / sha256).read_bytes() == content
    assert (await ksn.ask("POST", "getresult/file", {"request": sha256}, KEY)).body["Status"] == "in progress"
    store.set_entry(parse_any(sha256).key, Reputation(Zone.RED, "Odd"))
    result = await ksn.ask("POST", "getresult/file", {"request": sha256}, KEY)
    assert (result.body["Status"], result.body["Zone"]) == ("complete", "Red")
    assert (await ksn.ask("POST", "getresult/file", {"request": "ef" * 32}, KEY)).status == 404
    assert (await ksn.ask("POST", "getresult/file", {"request": "x"}, KEY)).status == 400


async def test_submissions_are_bounded(store: Store, tmp_path: Path) -> None:
    """Empty: 400; too large, announced or not: 413; no room: 507; none of them leaves anything."""

    async def drip(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield bytes(1 << 20)

    async with serving(store, settings(tmp_path, Limits(max_submit_mib=2, submitted_mib=1))) as ksn:
        statuses = [
            (await ksn.ask("POST", "scan/file", {}, KEY, body)).status
            for body in (b"", io.BytesIO(bytes(3 << 20)), drip(3), drip(2), io.BytesIO(bytes(3 << 19)))
        ]
        assert statuses[:2] == [400, 413]
        assert set(statuses[2:]) == {507}
        assert (await ksn.ask("POST", "scan/file", {}, "wrong", b"x")).status == 401
        assert ksn.service.submitted_bytes == 0
    assert list((tmp_path / "data" / "submitted").iterdir()) == []
    async with serving(store, settings(tmp_path, Limits(max_submit_mib=1))) as ksn:
        assert (await ksn.ask("POST", "scan/file", {}, KEY, drip(3))).status == 413


async def test_statistics_are_kept_with_whose_they_are(ksn: Served, tmp_path: Path) -> None:
    """204 and a line in the file; another form is refused with 400, a large body with 413."""
    assert (await ksn.ask("POST", "statistics", {}, KEY, b'{"asked": 3}')).status == 204
    assert (await ksn.ask("POST", "statistics", {}, KEY, b"[]")).status == 400
    assert (await ksn.ask("POST", "statistics", {}, KEY, bytes(100_000))).status == 413
    [line] = (tmp_path / "data" / "statistics.jsonl").read_text().splitlines()
    assert '"by": "svm-1", "figures": {"asked": 3}' in line


async def test_changes_since_a_number(ksn: Served, store: Store) -> None:
    """At once where there are some; 410 where the number is none that can be gone on from."""
    asked = await ksn.get("changes", since="4", wait="30")
    changed = {"sequence": 5, "kind": "url", "value": BAD_URL, "zone": "Yellow", "threat": "T.a"}
    assert (asked.status, asked.body) == (200, {"sequence": 5, "more": False, "changes": [changed]})
    assert (await ksn.get("changes", since="5")).body == {"sequence": 5, "more": False, "changes": []}
    assert [(await ksn.get("changes", since=since)).status for since in ("6", "x", "", "-1")] == [
        410,
        400,
        400,
        400,
    ]
    store.put_feed("a", store.feeds()["a"], None)
    assert (await ksn.get("changes", since="5")).body["sequence"] == 6


async def test_changes_come_in_answers_that_clients_read(ksn: Served, store: Store) -> None:
    """No client reads more than a MiB: words that are long are told in more answers, and none is left out."""
    entries = {f"{number:064x}": Zone.RED for number in range(1000)}
    words = Reputation(Zone.RED, "\u5371" * 200, "\u5371" * 200, "\u5371" * 200)
    source = iter([Found((parse_any(text).key,), words) for text in entries])
    import_feed(store, "long", "plain", source, 0, lambda _entries: None)
    since, heard = 5, 0
    while True:
        body = (await ksn.get("changes", since=str(since))).body
        assert len(json.dumps(body)) < 1 << 20
        since, heard = body["sequence"], heard + len(body["changes"])
        if not body["more"]:
            break
    assert heard == 1000


async def test_who_waits_is_told_when_it_happens(ksn: Served, store: Store) -> None:
    """The question is open before the change, and answered by it; one more of the same key may not wait."""
    waiting = asyncio.get_running_loop().create_task(ksn.get("changes", since="5", wait="30"))
    async with asyncio.timeout(20):
        while not ksn.service.waiting:
            await ksn.get("search/ip", request="10.0.0.1")
    refused = await ksn.get("changes", since="5", wait="30")
    assert (refused.status, refused.headers["Retry-After"]) == (429, "5")
    store.set_entry(BAD, Reputation(Zone.RED))
    asked = await waiting
    assert asked.body["changes"] == [{"sequence": 6, "kind": "domain", "value": "bad.example", "zone": "Red"}]


async def test_who_hangs_up_gives_back_his_place(ksn: Served) -> None:
    """An SVM that starts anew waits again at once: what it left behind does not hold the place of its key."""
    waiting = asyncio.get_running_loop().create_task(ksn.get("changes", since="5", wait="30"))
    await until(lambda: ksn.service.waiting, "the request waits")
    waiting.cancel()
    await until(lambda: not ksn.service.waiting, "its place is free")
    assert (await ksn.get("changes", since="5", wait="1")).status == 200
