"""The way to a service, step by step: the proxy where one is set, the service's name, its TLS.

Each step has a deadline, and a sentence that says what is wrong and what to do. Nothing is sent but what a
connection takes, and to a proxy where to connect to.
"""

import asyncio
import os
import ssl
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

QUOTA: Final = "quota"  # of Step.what
STEP_SECONDS: Final = 5.0
ALERT_SECONDS: Final = 0.5  # a service that wants a certificate of us says so after its own handshake
_MAX_HEAD_BYTES: Final = 16 * 1024

_EXPIRED, _NOT_YET, _NAMES = 10, 9, {62, 64}  # X509_V_ERR_... of OpenSSL: names are of hosts or addresses


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was tried: "proxy", "name", "TLS", "credentials", "known digest" or "quota".

    said: a sentence.
    """

    what: str
    good: bool
    said: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a service is, and how it is reached. tls: None where it is spoken to in the clear.

    proxy: "http://host:port", None for none.
    """

    base_url: str
    tls: ssl.SSLContext | None
    proxy: str | None = field(default=None, repr=False)  # may hold a password


class _Stopped(Exception):
    """The way ends here; the text says why."""


async def reach(place: Place, allowed: Callable[[], bool]) -> list[Step]:
    """Try the way to a place, as far as it goes. allowed: asked before each step that sends something."""
    parts = urlsplit(place.base_url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if not allowed():
        return [Step("name", False, "not tried: the tenant takes part no more")]
    if place.proxy is not None:
        return await _through_proxy(urlsplit(place.proxy), host, port, place.tls)
    try:
        name = await _looked_up(host, port)
    except _Stopped as stopped:
        return [Step("name", False, str(stopped))]
    if not allowed():
        return [name, Step("TLS", False, "not tried: the tenant takes part no more")]
    try:
        reader, writer = await _connected(host, port)
        return [name, await _secured(reader, writer, host, place.tls)]
    except _Stopped as stopped:
        return [name, Step("TLS", False, f"{stopped}: see ksn.endpoint, and whether the service runs")]


async def _through_proxy(proxy: SplitResult, host: str, port: int, tls: ssl.SSLContext | None) -> list[Step]:
    place = f"{proxy.hostname}:{proxy.port}"
    try:
        reader, writer = await _connected(proxy.hostname or "", proxy.port or 0)
    except _Stopped as stopped:
        untried = "not tried: the proxy cannot be reached"
        found = Step("proxy", False, f"{stopped}: see ksn.proxy, and whether the proxy runs")
        return [found, Step("name", False, untried), Step("TLS", False, untried)]
    try:
        status = await _tunnel(reader, writer, proxy, f"{host}:{port}")
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
        status = 0
    if status == 200:
        steps = [
            Step("proxy", True, f"{place} lets the SVM through"),
            Step("name", True, f"{host} is looked up by the proxy, which reaches it"),
        ]
        return [*steps, await _secured(reader, writer, host, tls)]
    writer.close()
    if status in {0, 403, 407}:
        said = {
            0: "does not answer as a proxy: see ksn.proxy",
            403: f"does not let the SVM through to {host}:{port} (HTTP 403): have who runs it allow that",
            407: "wants a user and a password, or others (HTTP 407): see ksn.proxy",
        }[status]
        untried = "not tried: the proxy does not let the SVM through"
        steps = [Step("proxy", False, f"{place} {said}"), Step("name", False, untried)]
    else:
        untried = "not tried: there is no connection"
        said = (
            f"the proxy does not reach {host}:{port} (HTTP {status}): see ksn.endpoint, and the proxy's log"
        )
        steps = [Step("proxy", True, f"{place} answers"), Step("name", False, said)]
    return [*steps, Step("TLS", False, untried)]


async def _looked_up(host: str, port: int) -> Step:
    try:
        async with asyncio.timeout(STEP_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(host, port)
    except (OSError, TimeoutError) as error:
        raise _Stopped(
            f"{host} is not found ({_words(error)}): see ksn.endpoint, and the SVM's DNS"
        ) from error
    return Step("name", True, f"{host} is {found[0][4][0]}")


async def _connected(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        async with asyncio.timeout(STEP_SECONDS):
            return await asyncio.open_connection(host, port, limit=_MAX_HEAD_BYTES)
    except (OSError, TimeoutError) as error:
        raise _Stopped(f"no connection to {host}:{port} ({_words(error)})") from error


async def _tunnel(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, proxy: SplitResult, where: str
) -> int:
    """Ask a proxy for a tunnel; its status. Raises OSError, TimeoutError, ValueError and reading's own."""
    lines = [f"CONNECT {where} HTTP/1.1", f"Host: {where}", "User-Agent: kvm-light-agent"]
    if proxy.username is not None:
        credentials = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        lines.append(f"Proxy-Authorization: Basic {b64encode(credentials.encode()).decode()}")
    writer.write("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
    async with asyncio.timeout(STEP_SECONDS):
        head = await reader.readuntil(b"\r\n\r\n")
    version, status, *_ = head.split(maxsplit=2)
    if not version.startswith(b"HTTP/"):
        raise ValueError("that is no HTTP")
    return int(status)


async def _secured(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, tls: ssl.SSLContext | None
) -> Step:
    """Begin TLS on a connection, and close it."""
    try:
        if tls is None:
            return Step("TLS", True, "not used: the service is on this machine, and listens")
        async with asyncio.timeout(STEP_SECONDS):
            await writer.start_tls(tls, server_hostname=host)
            version = writer.get_extra_info("ssl_object").version()
            await _hear_alert(reader)
        return Step("TLS", True, f"{version}, the certificate is trusted")
    except ssl.SSLCertVerificationError as error:
        return Step("TLS", False, _not_trusted(error))
    except ssl.SSLError as error:
        return Step("TLS", False, _refused(error.reason or ""))
    except TimeoutError:
        return Step("TLS", False, f"nothing within {STEP_SECONDS:g} s: is what listens there the service?")
    except OSError:
        wants = "see whether it wants a certificate of the SVM (ksn.certificate_file), and ksn.endpoint"
        return Step("TLS", False, f"the service broke off without a reason: {wants}")
    finally:
        writer.close()


async def _hear_alert(reader: asyncio.StreamReader) -> None:
    """Give a service the time to object to who connects. Raises what the connection ends with."""
    try:
        async with asyncio.timeout(ALERT_SECONDS):
            if not await reader.read(1):
                raise ConnectionResetError
    except TimeoutError:
        pass  # it waits for a question


def _not_trusted(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in {_EXPIRED, _NOT_YET}:
        to_do = "have the service's certificate renewed, and see this machine's clock"
    elif error.verify_code in _NAMES:
        to_do = "see ksn.endpoint, or have the service show one that is made out to it"
    else:
        to_do = "see ksn.ca_file"
    return f"the certificate is not trusted ({error.verify_message}): {to_do}"


def _refused(reason: str) -> str:
    """What a service, or our own TLS, ended the handshake for."""
    words = reason.replace("_", " ").lower()
    if "CERTIFICATE" in reason and "ALERT" in reason:
        ours = "wants a certificate of the SVM, or another one"
        return f"the service {ours} ({words}): see ksn.certificate_file and ksn.certificate_key_file"
    if reason in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST"}:
        return f"no TLS is spoken there ({words}): see ksn.endpoint"
    return f"the handshake failed ({words or 'no reason given'}): see ksn.endpoint and ksn.certificate_file"


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"nothing within {STEP_SECONDS:g} s"
    number = error.errno if isinstance(error, OSError) else None
    if number is not None and number > 0:  # asyncio has its own words for these, with the address in them
        return os.strerror(number)
    return str(getattr(error, "strerror", None) or type(error).__name__)
