"""Sockets, TLS, /metrics, and keys that are read anew."""

import re
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, TCPConnector

from appliance.private_ksn.keys import new_key
from appliance.private_ksn.reputation import Zone
from appliance.private_ksn.serving import CannotServe
from appliance.private_ksn.store import Store
from tests.support.commands import ROOT
from tests.support.private_ksn import LINE, feed, serving, settings


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with a red domain."""
    opened = Store.open(tmp_path / "data")
    feed(opened, "a", {"bad.example": Zone.RED})
    yield opened
    opened.close()


def certificate(directory: Path) -> tuple[str, str]:
    """A certificate of 127.0.0.1 that nobody else signed, and its key."""
    paths = f"{directory}/cert.pem", f"{directory}/key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    names = ["-subj", "/CN=ksn", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    subprocess.run([*command, *names, "-out", paths[0], "-keyout", paths[1]], check=True, capture_output=True)
    return paths


async def test_tls_with_a_certificate_of_ones_own(store: Store, tmp_path: Path) -> None:
    """A client that trusts it is answered; plain HTTP is not."""
    path, key = certificate(tmp_path)
    async with serving(store, settings(tmp_path, certificate=path, private_key=key)) as ksn:
        context = ssl.create_default_context(cafile=path)
        async with ClientSession(connector=TCPConnector(ssl=context)) as ksn.session:
            ksn.scheme = "https"
            assert (await ksn.get("search/domain", request="bad.example")).body["Zone"] == "Red"


async def test_what_cannot_be_served_is_said(store: Store, tmp_path: Path) -> None:
    """No keys, a certificate that is none, a port that is taken."""
    for wrong, said in (
        (settings(tmp_path, keys_file=tmp_path / "none"), "cannot be read"),
        (
            settings(tmp_path, certificate=str(tmp_path / "keys"), private_key=str(tmp_path / "keys")),
            "cannot be used",
        ),
    ):
        with pytest.raises(CannotServe, match=said):
            async with serving(store, wrong):
                pass
    async with serving(store, settings(tmp_path)) as ksn:
        with pytest.raises(CannotServe, match="cannot listen on"):
            async with serving(store, settings(tmp_path, listen=f"127.0.0.1:{ksn.ports[0]}")):
                pass


async def test_keys_are_read_anew(store: Store, tmp_path: Path) -> None:
    """A new key opens at once; a file that cannot be read leaves the old ones."""
    key, line = new_key("svm-2")
    async with serving(store, settings(tmp_path)) as ksn:
        assert (await ksn.get("search/domain", key, request="bad.example")).status == 401
        (tmp_path / "keys").write_text(f"{LINE}\n{line}\n")
        ksn.reload()
        assert (await ksn.get("search/domain", key, request="bad.example")).status == 200
        (tmp_path / "keys").write_text("?")
        ksn.reload()
        assert (await ksn.get("search/domain", key, request="bad.example")).status == 200


def test_the_documentation_has_every_event() -> None:
    """docs/private-ksn.md lists what may stand in the log, and nothing else."""
    told = (ROOT / "docs" / "private-ksn.md").read_text().partition("## Events")[2].partition("##")[0]
    rows = [line.split("|")[1] for line in told.splitlines() if line.startswith("| `")]
    sources = [path.read_text() for path in (ROOT / "appliance" / "private_ksn").rglob("*.py")]
    written = {event for text in sources for event in re.findall(r'_log\.[a-z]+\("([^"]+)"', text)}
    assert {event for row in rows for event in re.findall("`(.+?)`", row)} == written


async def test_metrics_on_a_port_of_their_own(store: Store, tmp_path: Path) -> None:
    """Answers by call and status, and what each feed has; the service's port does not tell them."""
    async with serving(store, settings(tmp_path)) as ksn:
        await ksn.get("search/domain", request="bad.example")
        await ksn.get("search/domain", request="good.example")
        async with ksn.session.get(f"http://127.0.0.1:{ksn.ports[1]}/metrics") as response:
            text = await response.text()
        async with ksn.session.get(f"http://127.0.0.1:{ksn.ports[0]}/metrics") as response:
            assert response.status == 404
    for status in ("200", "404"):
        assert f'private_ksn_answers_total{{call="search/domain",status="{status}"}} 1.0' in text
    assert 'private_ksn_feed_keys{feed="a"} 1.0' in text
