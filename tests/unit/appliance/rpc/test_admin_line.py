"""How the `svm` commands reach an SVM."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from appliance.domain.identity import SERVER_NAME
from appliance.rpc.admin_client import AdminClient, AdminError
from appliance.rpc.admin_line import CertificateLine, SocketLine
from appliance.rpc.server import ServerBounds
from tests.support.certificates import Certificate, self_signed
from tests.support.relay import free_port
from tests.support.svm import DEADLINE
from tests.unit.appliance.rpc.test_tls import tls_server


@pytest.fixture
def server(tmp_path: Path) -> Certificate:
    """What the SVM shows: its name is the same whatever its address is."""
    return self_signed(tmp_path, "svm", "192.0.2.1", SERVER_NAME)


@pytest.fixture
def client(tmp_path: Path) -> Certificate:
    """What the administrator shows."""
    return self_signed(tmp_path, "administrator")


@pytest.fixture
def identity(tmp_path: Path, server: Certificate, client: Certificate) -> Path:
    """A directory as `svm certificates issue` makes it."""
    directory = tmp_path / "identity"
    directory.mkdir()
    (directory / "ca.pem").write_bytes(server.certificate.read_bytes())
    (directory / "administrator.pem").write_bytes(client.certificate.read_bytes())
    (directory / "administrator.key").write_bytes(client.key.read_bytes())
    return directory


def ask(line: CertificateLine) -> str:
    """What comes of asking for the status: "" where it is answered, else the sentence."""
    try:
        with AdminClient(line, call_seconds=20) as admin:
            admin.status()
    except AdminError as error:
        return str(error)
    return ""


async def test_an_svm_is_known_by_its_certificate_and_not_by_its_address(
    server: Certificate, client: Certificate, identity: Path
) -> None:
    """Wherever it listens; and the administrator by his."""
    async with tls_server(server, client) as address:
        assert await asyncio.to_thread(ask, CertificateLine(address, identity)) == ""


async def test_a_server_of_another_authority_is_not_asked(
    tmp_path: Path, server: Certificate, client: Certificate, identity: Path
) -> None:
    """The sentence says what does not fit."""
    other = tmp_path / "other"
    other.mkdir()
    async with tls_server(self_signed(other, "svm", host=SERVER_NAME), client) as address:
        said = await asyncio.to_thread(ask, CertificateLine(address, identity))
    assert f"{address} is no SVM of the authority in {identity}/ca.pem" in said


async def test_a_door_that_is_full_is_named_as_one(
    server: Certificate, client: Certificate, identity: Path
) -> None:
    """It closes before anybody has shown a certificate: that of neither is amiss. With room it answers."""
    async with tls_server(server, client, ServerBounds(connections=1)) as address:
        host, _, port = address.partition(":")
        _, held = await asyncio.open_connection(host, int(port))
        said = await asyncio.to_thread(ask, CertificateLine(address, identity))
        assert said.startswith(f"{address} closed the connection before it answered: ")
        assert "that has as many connections as it takes (try again in a while)" in said
        assert "is no SVM" not in said
        held.close()
        await held.wait_closed()

        async def answered() -> bool:
            return await asyncio.to_thread(ask, CertificateLine(address, identity)) == ""

        await until_true(answered)


async def until_true(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask until it is so."""
    async with asyncio.timeout(DEADLINE):
        while not await condition():
            pass


async def test_a_certificate_that_the_svm_does_not_take(
    tmp_path: Path, server: Certificate, client: Certificate, identity: Path
) -> None:
    """It is of another authority: TLS 1.3 closes after the handshake, and the sentence has the reason."""
    other = tmp_path / "other"
    other.mkdir()
    async with tls_server(server, self_signed(other, "administrator")) as address:
        said = await asyncio.to_thread(ask, CertificateLine(address, identity))
    assert said.startswith(f"{address} closed the connection before it answered: ")
    assert f"does not take the certificate in {identity}" in said


def test_nobody_is_there(identity: Path) -> None:
    """The sentence says what the SVM's settings need."""
    address = f"127.0.0.1:{free_port()}"
    said = ask(CertificateLine(address, identity))
    assert said == f"no SVM answers on {address}: is `svm serve` running there, with server.admin_listen set?"


@pytest.mark.parametrize("address", ["127.0.0.1", "svm", "svm:", "svm:0", "tcp:127.0.0.1:7445", "::1:7445"])
async def test_an_address_without_a_port_is_told(identity: Path, address: str) -> None:
    """Nothing is asked then, in whichever way the line is opened."""
    line = CertificateLine(address, identity)
    said = ask(line)
    assert said.startswith(f"'{address}' is no address: give HOST:PORT with a port of 1 to 65535")
    assert said.endswith(": that of the SVM's server.admin_listen")
    with ExitStack() as stack, pytest.raises(AdminError) as raised:
        await line.open_async(DEADLINE, stack)
    assert str(raised.value) == said


def bad_files() -> Iterator[tuple[str, bytes | None, str]]:
    """A file of the directory, what it holds, and what is said."""
    for name in ("ca.pem", "administrator.pem", "administrator.key"):
        yield name, None, "No such file"
        yield name, b"rubbish", "no certificate or key as PEM"
        yield name, b"-----BEGIN CERTIFICATE-----" + b"x" * 300_000, "no certificate or key as PEM"


@pytest.mark.parametrize(("name", "content", "why"), list(bad_files()))
def test_a_file_that_is_missing_or_is_none(
    identity: Path, name: str, content: bytes | None, why: str
) -> None:
    """It is named."""
    (identity / name).unlink()
    if content is not None:
        (identity / name).write_bytes(content)
    said = ask(CertificateLine("127.0.0.1:1", identity))
    assert str(identity / name) in said
    assert why in said


def test_a_line_is_called_by_where_it_leads() -> None:
    """For "the SVM on ..."."""
    assert f"{SocketLine('/a.sock')} {CertificateLine('h:1', Path('/i'))}" == "/a.sock h:1"
