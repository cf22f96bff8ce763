"""Tests of appliance/ksn/reaching.py: each step against a service, or a proxy, that fails at it."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.ksn import reaching
from appliance.ksn.reaching import Place, Step, reach
from tests.support.certificates import Certificate, expired, self_signed
from tests.support.connect_proxy import connect_proxy
from tests.support.misbehaving_ksn import MisbehavingKsn
from tests.support.scanning import until


def allowed() -> bool:
    """The gate is open."""
    return True


async def tried(place: Place) -> dict[str, Step]:
    """The steps by name; none of them sends anybody back to where he comes from."""
    steps = await reach(place, allowed)
    assert not any("svm ksn check" in step.said for step in steps)
    return {step.what: step for step in steps}


def trusting(*certificates: Certificate) -> ssl.SSLContext:
    """What trusts these, and shows nothing."""
    context = ssl.create_default_context()
    for certificate in certificates:
        context.load_verify_locations(certificate.certificate)
    return context


@asynccontextmanager
async def service(tls: ssl.SSLContext | None) -> AsyncIterator[MisbehavingKsn]:
    """A service that listens, and is told nothing."""
    made = MisbehavingKsn()
    await made.start(tls)
    yield made
    await made.stop()
    assert made.received == []


@pytest.fixture
def shown(tmp_path: Path) -> Certificate:
    """What the service shows."""
    return self_signed(tmp_path, "service")


async def test_a_name_that_nobody_has() -> None:
    """Nothing further of the way is tried."""
    steps = await tried(Place("https://no-such-name.invalid/api/", trusting()))
    assert not steps["name"].good
    assert "ksn.endpoint" in steps["name"].said
    assert "TLS" not in steps


async def test_a_service_that_does_not_listen() -> None:
    """The place is named, with TLS or without."""
    for url, tls in (("https://127.0.0.1:1/", trusting()), ("http://127.0.0.1:1/", None)):
        steps = await tried(Place(url, tls))
        assert (steps["name"].good, steps["TLS"].good) == (True, False)
        assert steps["TLS"].said.startswith("no connection to 127.0.0.1:1 (Connection refused): see ")


async def test_a_certificate_that_is_trusted(shown: Certificate) -> None:
    """The version of TLS is told; without TLS that none is used."""
    async with service(shown.server()) as there:
        steps = await tried(Place(there.base_url, trusting(shown)))
    assert [step.good for step in steps.values()] == [True, True]
    assert steps["TLS"].said == "TLSv1.3, the certificate is trusted"
    async with service(None) as there:
        steps = await tried(Place(there.base_url, None))
    assert steps["TLS"].said == "not used: the service is on this machine, and listens"


@pytest.mark.parametrize(
    ("which", "own_words", "to_do"),
    [
        ("of another authority", "self-signed certificate", "ksn.ca_file"),
        ("for another address", "IP address mismatch", "ksn.endpoint"),
        ("of yesterday", "certificate has expired", "renewed"),
    ],
)
async def test_a_certificate_that_is_not_trusted(
    shown: Certificate, tmp_path: Path, which: str, own_words: str, to_do: str
) -> None:
    """What it lacks is said in its own words, and what is to be done."""
    server, trusted = shown, shown
    if which == "of another authority":
        trusted = self_signed(tmp_path, "another")
    elif which == "for another address":
        server = trusted = self_signed(tmp_path, "elsewhere", "127.0.0.2")
    else:
        server = trusted = expired(tmp_path, shown)
    async with service(server.server()) as there:
        step = (await tried(Place(there.base_url, trusting(trusted))))["TLS"]
    assert not step.good
    assert own_words in step.said
    assert to_do in step.said


def hear(listening: socket.socket, context: ssl.SSLContext) -> None:
    """Take one connection, say in TLS what there is to object to, and wait for its end."""
    connection, _ = listening.accept()
    with connection, suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
        secured.recv(1)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_certificate_that_is_wanted_of_us(
    shown: Certificate, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """Without it, and with another, that is said; with it all is well."""
    ours, another = self_signed(tmp_path, "ours"), self_signed(tmp_path, "another")
    context = shown.server(clients=ours)
    context.maximum_version = version
    said = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        for certificate in (None, another, ours):
            tls = trusting(shown)
            if certificate is not None:
                tls.load_cert_chain(certificate.certificate, certificate.key)
            hearing = asyncio.get_running_loop().run_in_executor(None, hear, listening, context)
            step = (await tried(Place(f"https://127.0.0.1:{listening.getsockname()[1]}/", tls)))["TLS"]
            await hearing
            assert step.good == (certificate is ours)
            said.append(step.said)
    assert [each for each in said[:2] if "ksn.certificate_file" not in each] == []


async def test_a_service_that_breaks_off_without_a_word(shown: Certificate) -> None:
    """As one may that wants a certificate of us: that is said to be looked at."""
    closing = await asyncio.start_server(
        lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=shown.server()
    )
    async with closing:
        port = closing.sockets[0].getsockname()[1]
        step = (await tried(Place(f"https://127.0.0.1:{port}/", trusting(shown))))["TLS"]
    assert not step.good
    assert "ksn.certificate_file" in step.said


async def test_a_service_that_speaks_no_tls() -> None:
    """An http:// service at an https:// address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    plain = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with plain:
        port = plain.sockets[0].getsockname()[1]
        step = (await tried(Place(f"https://127.0.0.1:{port}/", trusting())))["TLS"]
    assert not step.good
    assert step.said == "no TLS is spoken there (wrong version number): see ksn.endpoint"


async def test_a_service_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a deadline, and the connection is closed."""
    monkeypatch.setattr(reaching, "STEP_SECONDS", 0.05)
    ended = 0

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal ended
        while await reader.read(65536):
            pass
        writer.close()
        ended += 1

    silent = await asyncio.start_server(swallow, "127.0.0.1", 0)
    async with silent:
        port = silent.sockets[0].getsockname()[1]
        step = (await tried(Place(f"https://127.0.0.1:{port}/", trusting())))["TLS"]
        through = await tried(Place("https://ksn.example/", trusting(), f"http://127.0.0.1:{port}"))
        await until(lambda: ended == 2, "both connections are closed")
    assert "nothing within" in step.said
    assert "does not answer as a proxy" in through["proxy"].said


async def test_a_service_behind_a_proxy(shown: Certificate, tmp_path: Path) -> None:
    """TLS is tried through it, and the certificate's own words are kept."""
    async with connect_proxy() as proxy, service(shown.server()) as there:
        place = Place(there.base_url, trusting(shown), proxy.url)
        steps = await tried(place)
        assert list(steps) == ["proxy", "name", "TLS"]
        assert all(step.good for step in steps.values())
        assert steps["TLS"].said == "TLSv1.3, the certificate is trusted"
        assert proxy.headers().keys() == {"host", "user-agent", "proxy-authorization"}
        assert proxy.headers()["proxy-authorization"] == "Basic c3ZtOnNlY3JldA=="
        untrusted = await tried(replace(place, tls=trusting(self_signed(tmp_path, "another"))))
    assert (untrusted["proxy"].good, untrusted["TLS"].good) == (True, False)
    assert "self-signed certificate" in untrusted["TLS"].said


async def test_a_proxy_that_is_dead() -> None:
    """Nothing is said to be good that was not tried."""
    steps = await tried(Place("https://ksn.example/", trusting(), "http://127.0.0.1:1"))
    assert [step.good for step in steps.values()] == [False, False, False]
    assert steps["proxy"].said.startswith("no connection to 127.0.0.1:1 (")
    assert steps["TLS"].said == "not tried: the proxy cannot be reached"


@pytest.mark.parametrize(
    ("status", "good", "sentence"),
    [
        (407, {"proxy": False}, "wants a user and a password"),
        (403, {"proxy": False}, "does not let the SVM through to ksn.example:443"),
        (502, {"proxy": True}, "does not reach ksn.example:443 (HTTP 502)"),
    ],
)
async def test_a_proxy_that_does_not_let_through(status: int, good: dict[str, bool], sentence: str) -> None:
    """Whose fault it is and what to do; its password is not told."""
    async with connect_proxy(status) as proxy:
        steps = await tried(Place("https://ksn.example/", trusting(), proxy.url))
        assert proxy.heads[0].startswith("CONNECT ksn.example:443 HTTP/1.1\r\n")
    assert {what: step.good for what, step in steps.items()} == {"name": False, "TLS": False} | good
    assert any(sentence in step.said for step in steps.values())
    assert not any("secret" in step.said for step in steps.values())


async def test_nothing_is_tried_without_consent() -> None:
    """Neither to begin with nor after it was withdrawn meanwhile."""
    place = Place("https://localhost:1/", trusting())
    (only,) = await reach(place, lambda: False)
    assert only.said == "not tried: the tenant takes part no more"
    proxied = replace(place, proxy="http://127.0.0.1:1")
    assert await reach(proxied, lambda: False) == [only]
    answers = iter([True, False])
    name, tls = await reach(place, lambda: next(answers))
    assert (name.good, tls.said) == (True, "not tried: the tenant takes part no more")


def test_the_proxy_is_not_printed() -> None:
    """It may hold a password."""
    assert "secret" not in repr(Place("https://ksn.example/", None, "http://svm:secret@proxy:3128"))
