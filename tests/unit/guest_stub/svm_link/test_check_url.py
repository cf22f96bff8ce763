"""Tests of asking the SVM about web addresses."""

from pathlib import Path

import grpc
import pytest
from lightagent.v1 import guest_pb2

from guest_stub.svm_link import check_url
from guest_stub.svm_link.check_url import MAX_URL_BYTES, ask_urls
from guest_stub.svm_link.link import SvmUnreachable
from guest_stub.svm_link.values import UrlAnswer
from tests.support.guest_side_server import Behaviour, GuestSideServer, serving

CLEAN = guest_pb2.CheckUrlReply(outcome=guest_pb2.URL_OUTCOME_CLEAN, matched="url")
TOO_MANY = (grpc.StatusCode.RESOURCE_EXHAUSTED, "more than 50 times")


async def answers(server: GuestSideServer, *urls: str) -> dict[str, UrlAnswer]:
    """What is told of each."""
    told: dict[str, UrlAnswer] = {}
    await ask_urls(server.target, urls, 10.0, told.__setitem__)
    return told


async def test_what_the_svm_says_comes_back(tmp_path: Path) -> None:
    """Of each address, without an Attach, with the budget that it has."""
    async with serving(tmp_path / "svm.sock", Behaviour(urls={"http://a/": CLEAN})) as server:
        told = await answers(server, "http://a/", "http://b/")
        assert server.hellos == []
        assert [request.budget.seconds for request in server.url_requests] == [10, 10]
    assert told["http://a/"] == UrlAnswer("clean", matched="url")
    assert told["http://b/"].outcome == "unknown"


@pytest.mark.parametrize("url", ["", "x" * (MAX_URL_BYTES + 1), "é" * MAX_URL_BYTES, "a\udc80"])
async def test_what_the_wire_does_not_take_is_not_asked(tmp_path: Path, url: str) -> None:
    """It is no address, and the next one is asked about."""
    async with serving(tmp_path / "svm.sock") as server:
        told = await answers(server, url, "http://b/")
        assert [request.url for request in server.url_requests] == ["http://b/"]
    assert told[url].outcome == "no url"


async def test_who_asked_too_fast_waits_and_asks_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A moment, and in the end it is told."""
    monkeypatch.setattr(check_url, "_PAUSE_SECONDS", 0)
    async with serving(tmp_path / "svm.sock", Behaviour(url_aborts=[TOO_MANY])) as server:
        assert (await answers(server, "http://b/"))["http://b/"].outcome == "unknown"
    async with serving(tmp_path / "svm2.sock", Behaviour(url_aborts=[TOO_MANY] * 9)) as server:
        with pytest.raises(SvmUnreachable, match="asked too often"):
            await answers(server, "http://b/")


async def test_an_svm_without_the_call_is_named_as_older(tmp_path: Path) -> None:
    """Another refusal is told in the SVM's words."""
    aborts = [(grpc.StatusCode.UNIMPLEMENTED, "Method not found!"), (grpc.StatusCode.INTERNAL, "odd")]
    async with serving(tmp_path / "svm.sock", Behaviour(url_aborts=aborts)) as server:
        with pytest.raises(SvmUnreachable, match="older than this guest-stub"):
            await answers(server, "http://b/")
        with pytest.raises(SvmUnreachable, match="does not say: INTERNAL: odd"):
            await answers(server, "http://b/")


async def test_no_svm_is_told(tmp_path: Path) -> None:
    """Nobody listens, or the ticket does not count."""
    with pytest.raises(SvmUnreachable, match="is the SVM running"):
        await ask_urls(f"unix:{tmp_path}/svm.sock", ["http://b/"], 10.0, lambda _url, _answer: None)
    async with serving(tmp_path / "svm.sock", Behaviour(ticket_line=b"f" * 32 + b"\n")) as server:
        with pytest.raises(SvmUnreachable, match="UNAUTHENTICATED"):
            await answers(server, "http://b/")
