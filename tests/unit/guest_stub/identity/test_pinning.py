"""Tests of finding an SVM's authority: what is shown before the fingerprint is known may be anybody's."""

import asyncio
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from guest_stub.identity.pinning import NotPinned, authority_of, fingerprint_of
from tests.support.authority import Authority, Issued
from tests.support.enrolment_side_server import tls_serving

DIGITS = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "text",
    [
        DIGITS,
        DIGITS.upper(),
        f" {DIGITS}\n",
        "sha256:" + DIGITS,
        "SHA256 Fingerprint=" + ":".join(re.findall("..", DIGITS.upper())),
    ],
)
def test_a_fingerprint_may_be_written_as_programs_print_it(text: str) -> None:
    """With colons, in capitals, with what openssl says before it."""
    assert fingerprint_of(text) == bytes.fromhex(DIGITS)


@pytest.mark.parametrize("text", ["", DIGITS[1:], DIGITS + "0", "g" + DIGITS[1:], "sha1:" + DIGITS[:40]])
def test_what_is_no_fingerprint_is_refused(text: str) -> None:
    """Nothing shorter counts."""
    with pytest.raises(ValueError, match="is no fingerprint: it has 64 hexadecimal digits"):
        fingerprint_of(text)


async def found(port: int, fingerprint: str, seconds: float = 30.0) -> bytes:
    """What is found at a port."""
    return await asyncio.to_thread(authority_of, "127.0.0.1", port, bytes.fromhex(fingerprint), seconds)


async def test_the_authority_is_found_by_its_fingerprint() -> None:
    """In what a real SVM shows, at the port where guests enrol."""
    async with tls_serving() as side:
        authority = side.authority
        assert await found(side.enrolment_port, authority.fingerprint) == authority.issued.der


async def test_another_authority_is_not_taken() -> None:
    """Whoever is at the address."""
    async with tls_serving() as side:
        with pytest.raises(
            NotPinned, match=r"no certificate with the fingerprint .*something else than your SVM"
        ):
            await found(side.enrolment_port, Authority().fingerprint)


async def test_nobody_at_the_port_is_said() -> None:
    """With what to look at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(NotPinned, match="Connection refused: is it the SVM's port"):
        await found(port, DIGITS)


@contextmanager
def hostile(answer: bytes, pause: float = 0.0) -> Iterator[int]:
    """Somebody at a port who says this, a byte after each pause, and then nothing more."""
    over = threading.Event()

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            for byte in answer:
                if over.wait(pause):
                    return
                try:
                    connection.sendall(bytes([byte]))
                except OSError:
                    return
            over.wait(60)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        over.set()
        thread.join()


@pytest.mark.parametrize(
    ("answer", "pause"),
    [
        (b"", 0.0),
        # The beginning of a record of a handshake, so slow that no single wait is long.
        (b"\x16\x03\x03\x40\x00" + bytes(4096), 0.02),
    ],
)
async def test_who_says_nothing_or_little_is_not_waited_for(answer: bytes, pause: float) -> None:
    """One deadline holds for the whole of the handshake."""
    refused = pytest.raises(NotPinned, match=r"nobody has shown a certificate within 0\.5 s")
    with hostile(answer, pause) as port, refused:
        await asyncio.wait_for(found(port, DIGITS, 0.5), 30)


async def test_who_speaks_something_else_is_not_believed() -> None:
    """As a web server without TLS."""
    refused = pytest.raises(NotPinned, match=r"no certificate was shown: .*is it the SVM's port")
    with hostile(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port, refused:
        await found(port, DIGITS)


def served_once(
    directory: Path, own: Issued, chain: bytes, newest: ssl.TLSVersion
) -> tuple[threading.Thread, int]:
    """A TLS server for one connection, by OpenSSL, that shows any chain."""
    (directory / "chain.pem").write_bytes(own.pem + chain)
    (directory / "key.pem").write_bytes(own.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "chain.pem", directory / "key.pem")
    context.maximum_version = newest
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with server:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(30)
                try:
                    context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    return

    thread = threading.Thread(target=serve)
    thread.start()
    return thread, server.getsockname()[1]


async def test_a_chain_without_an_end_is_not_read(tmp_path: Path) -> None:
    """Over 100 KiB the handshake ends, also where the right one is among them."""
    authority = Authority()
    chain = authority.issued.pem + Authority().issued.pem * 500
    thread, port = served_once(tmp_path, authority.server(), chain, ssl.TLSVersion.TLSv1_3)
    with pytest.raises(NotPinned, match=r"no certificate was shown: .*excessive message size"):
        await found(port, authority.fingerprint)
    thread.join()


async def test_nothing_older_than_tls_1_3_is_spoken(tmp_path: Path) -> None:
    """Not even to look."""
    authority = Authority()
    thread, port = served_once(tmp_path, authority.server(), authority.issued.pem, ssl.TLSVersion.TLSv1_2)
    with pytest.raises(NotPinned, match="no certificate was shown"):
        await found(port, authority.fingerprint)
    thread.join()
