"""How the `svm` commands reach an SVM."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.domain.identity import SERVER_NAME
from appliance.rpc.admin_client import AdminClient, AdminError
from appliance.rpc.admin_line import CertificateLine, SocketLine
from tests.support.certificates import Certificate, self_signed
from tests.support.relay import free_port
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


def test_nobody_is_there(identity: Path) -> None:
    """The sentence says what the SVM's settings need."""
    address = f"127.0.0.1:{free_port()}"
    said = ask(CertificateLine(address, identity))
    assert said == f"no SVM answers on {address}: is `svm serve` running there, with server.admin_listen set?"


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
