"""The driver for the OpenTIP dialect: Kaspersky's service, and every Private KSN that speaks the same.

The calls, and what each HTTP status means, are those of https://opentip.kaspersky.com/Help/Doc_data/; that
403 stands for a spent quota, and 401 alone for a key that is refused, is from there. Nothing is tried twice:
who asked has no time for it, the next question is the next try, and what leaves has been counted and recorded
once.

What comes back is not trusted: redirects are not followed, bodies are bounded and of one kind, every wait has
a deadline. `opentip_json` reads them.
"""

import asyncio
import io
import json
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from aiohttp.hdrs import ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, USER_AGENT

from appliance.ksn.opentip_json import read_answer, read_changes
from appliance.ksn.reputation import (
    BESIDE_QUESTIONS,
    Answer,
    Call,
    Changes,
    ReputationError,
    Request,
    Trouble,
)
from appliance.ksn.statement import placed
from appliance.ksn.zones import Zone

GLOBAL_KSN = "https://opentip.kaspersky.com/api/v1/"
MAX_ANSWER_BYTES = 1 << 20
MAX_CONNECTIONS = 32
MAX_CONNECT_SECONDS = 3.0

_PATHS = {
    Call.HASH: "search/hash",
    Call.URL: "search/url",
    Call.DOMAIN: "search/domain",
    Call.IP: "search/ip",
    Call.SUBMIT: "scan/file",
    Call.RESULT: "getresult/file",
    Call.STATISTICS: "statistics",
    Call.CHANGES: "changes",
}
_NOTHING, _GONE = 404, 410  # 410: changes that the service keeps no more
_OURS = {Call.STATISTICS, Call.CHANGES}
_TURNED_AWAY = {403, 429, 507}  # 507: for want of room
_HOME = {"localhost", "127.0.0.1", "::1"}

_STATUSES = {
    400: (Trouble.BAD_QUERY, "does not take the question"),
    401: (Trouble.REFUSED, "refuses the API key: set one that is in force"),
    403: (Trouble.QUOTA, "says that the quota is spent"),
    413: (Trouble.TOO_LARGE, "finds the file too large"),
    414: (Trouble.TOO_LARGE, "finds the URL too long"),
    429: (Trouble.QUOTA, "says that too much was asked"),
}


class BadEndpoint(ValueError):
    """The service cannot be reached as it was set; the text of the error says what to change."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a service is and how it is spoken to.

    ca_file: PEM, instead of the system's authorities. certificate, certificate_key: PEM, for services that
    know their clients by certificate. proxy: "http://host:port". ours: whether it takes statistics and
    tells of changes, as our own server does.
    """

    base_url: str = GLOBAL_KSN
    api_key: str = field(default="", repr=False)
    ca_file: Path | None = None
    proxy: str | None = field(default=None, repr=False)  # may hold a password
    certificate: Path | None = None
    certificate_key: Path | None = None
    ours: bool = False


class OpenTip:
    """Asks one service. Connects to nothing before the first question."""

    def __init__(self, name: str, endpoint: Endpoint) -> None:
        """name: as the ledger has it. Raises BadEndpoint."""
        self.name = name
        self.capabilities = frozenset(Call) - (set() if endpoint.ours else _OURS)
        self._endpoint = endpoint
        self._key = endpoint.api_key
        self._base_url = _checked(endpoint).rstrip("/")
        self.tls = _tls(endpoint)
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def ask(self, request: Request, seconds: float) -> Answer:
        """Return what the service says of a subject. Raises ReputationError."""
        status, body = await self._exchange(request, seconds)
        return Answer(Zone.NOT_FOUND) if status == _NOTHING else read_answer(body)

    async def send(self, request: Request, seconds: float) -> None:
        """Hand over content or statistics. Raises ReputationError."""
        status, _ = await self._exchange(request, seconds)
        if status == _NOTHING:
            raise ReputationError(Trouble.NOT_OFFERED, f"{self.name} does not take {request.call}")

    async def changes(self, request: Request, seconds: float) -> Changes:
        """Return what changed. Raises ReputationError; not offered where the service has no such call."""
        status, body = await self._exchange(request, seconds)
        if status == _NOTHING:
            raise ReputationError(Trouble.NOT_OFFERED, f"{self.name} tells of no changes")
        return read_changes(body, lost=status == _GONE)

    def use_key(self, key: str) -> bool:
        """Ask with this key from the next request on; whether it is another one. Raises BadEndpoint."""
        _check_key(key)
        changed, self._key = key != self._key, key
        return changed

    async def close(self) -> None:
        """Let go of every connection."""
        self._closed = True
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _exchange(self, request: Request, seconds: float) -> tuple[int, bytes]:
        """Send a request, return status and body of the answer: 200, or 404 where the service has nothing."""
        if request.call not in self.capabilities:
            raise ReputationError(Trouble.NOT_OFFERED, f"{self.name} does not take {request.call}")
        places = placed(request)
        try:
            async with asyncio.timeout(seconds):
                return await self._send(request, places, seconds)
        except TimeoutError:
            raise ReputationError(
                Trouble.TIMED_OUT, f"{self.name} did not answer in {seconds:.1f} s"
            ) from None
        except aiohttp.ClientConnectorCertificateError as error:
            why = getattr(error.certificate_error, "verify_message", "") or "it names another host"
            sentence = f"{self.name} shows a certificate that is not trusted ({why}): see ksn.ca_file"
            raise ReputationError(Trouble.UNREACHABLE, sentence) from None
        except aiohttp.ClientHttpProxyError as error:
            sentence = f"the proxy does not let through to {self.name} (HTTP {error.status}): see ksn.proxy"
            raise ReputationError(Trouble.UNREACHABLE, sentence) from None
        except aiohttp.ClientProxyConnectionError:
            sentence = f"the proxy on the way to {self.name} cannot be reached: see ksn.proxy"
            raise ReputationError(Trouble.UNREACHABLE, sentence) from None
        except aiohttp.ClientResponseError:
            raise ReputationError(Trouble.MALFORMED, f"{self.name} answers with what is no HTTP") from None
        except aiohttp.ClientPayloadError:
            raise ReputationError(Trouble.MALFORMED, f"{self.name} broke off in its answer") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # By its kind only: its text may hold the URL that was asked about, or the proxy's password.
            sentence = f"{self.name} cannot be reached ({type(error).__name__}): see ksn.endpoint"
            raise ReputationError(Trouble.UNREACHABLE, sentence) from None

    async def _send(self, request: Request, places: dict[str, str], seconds: float) -> tuple[int, bytes]:
        query = {place[6:]: value for place, value in places.items() if place.startswith("query ")}
        figures = {place[5:]: int(value) for place, value in places.items() if place.startswith("json ")}
        data: io.BytesIO | bytes | None = None
        headers = {"x-api-key": self._key} if self._key else {}
        if request.part is not None:
            data, headers[CONTENT_TYPE] = io.BytesIO(request.part.data), "application/octet-stream"
        elif figures:
            data, headers[CONTENT_TYPE] = json.dumps(figures).encode(), "application/json"
        async with self._open_session().request(
            "GET" if data is None else "POST",
            f"{self._base_url}/{_PATHS[request.call]}",
            params=query,
            data=data,
            headers=headers,
            allow_redirects=False,
            proxy=self._endpoint.proxy,
            timeout=aiohttp.ClientTimeout(total=seconds, connect=min(seconds, MAX_CONNECT_SECONDS)),
        ) as response:
            if response.status == _NOTHING:
                return _NOTHING, b""
            self._check(response, request.call)
            return response.status, await self._body(response)

    def _check(self, response: aiohttp.ClientResponse, call: Call) -> None:
        """Raise ReputationError unless the answer is one to read."""
        status = response.status
        if status == 204 and call is Call.STATISTICS:  # as our own server says that it has taken them
            return
        if status == 200 or (status == _GONE and call is Call.CHANGES):
            if response.content_type != "application/json" or response.headers.get("Content-Encoding"):
                raise ReputationError(Trouble.MALFORMED, f"{self.name} answers with what is not plain JSON")
            return
        if status in _TURNED_AWAY and call in BESIDE_QUESTIONS:
            raise ReputationError(Trouble.QUOTA, f"{self.name} turns {call} away for now (HTTP {status})")
        if status >= 500:
            raise ReputationError(Trouble.UNREACHABLE, f"{self.name} cannot serve now (HTTP {status})")
        if 300 <= status < 400:
            sentence = (
                f"{self.name} sends us elsewhere (HTTP {status}), where we do not go: check its address"
            )
            raise ReputationError(Trouble.MALFORMED, sentence)
        trouble, said = _STATUSES.get(status, (Trouble.MALFORMED, "answers as no such service does"))
        raise ReputationError(trouble, f"{self.name} {said} (HTTP {status})")

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > MAX_ANSWER_BYTES:
                response.close()
                raise ReputationError(
                    Trouble.MALFORMED, f"{self.name} answers with more than {MAX_ANSWER_BYTES} bytes"
                )
        return bytes(body)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ReputationError(Trouble.UNREACHABLE, f"{self.name} is asked no more: the program ends")
        if self._session is None:
            # aiohttp tells a proxy these, too, in the clear, before the tunnel stands: nothing may be among
            # them that is not for everybody. The key goes with each request.
            headers: dict[str, str] = {
                USER_AGENT: "kvm-light-agent",
                ACCEPT: "application/json",
                ACCEPT_ENCODING: "identity",
            }
            self._session = aiohttp.ClientSession(
                headers=headers,
                connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, ssl=self.tls),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # what is small on the wire could be endless unpacked
                trust_env=False,  # the proxy is a setting, not what the environment happens to hold
            )
            # aiohttp sends a GET again when the connection breaks, and has no public way to forbid it; the
            # ledger and the quota would know of one. A test counts what arrives.
            self._session._retry_connection = False
        return self._session


def _checked(endpoint: Endpoint) -> str:
    """Return the base URL, or raise BadEndpoint."""
    try:
        parts = urlsplit(endpoint.base_url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if (
        not host
        or parts.scheme not in {"http", "https"}
        or parts.query
        or parts.fragment
        or "@" in parts.netloc
    ):
        raise BadEndpoint(f"{endpoint.base_url[:200]!r} is no base URL: give one such as {GLOBAL_KSN}")
    if parts.scheme == "http" and host not in _HOME:
        raise BadEndpoint(
            f"{endpoint.base_url[:200]!r} would send the API key in the clear: give an https:// URL"
        )
    if parts.scheme == "http" and endpoint.proxy is not None:
        raise BadEndpoint(
            f"{endpoint.base_url[:200]!r} would send the API key to the proxy in the clear: give an https:// "
            "URL, or no proxy"
        )
    _check_key(endpoint.api_key)
    return endpoint.base_url


def _check_key(key: str) -> None:
    if not (key.isascii() and key.isprintable()):
        raise BadEndpoint("the API key holds what is no printable ASCII: copy it anew")


def _tls(endpoint: Endpoint) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=endpoint.ca_file)
        if endpoint.certificate is not None:
            context.load_cert_chain(endpoint.certificate, endpoint.certificate_key)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        files = ", ".join(
            str(path)
            for path in (endpoint.ca_file, endpoint.certificate, endpoint.certificate_key)
            if path is not None
        )
        raise BadEndpoint(f"cannot use {files} for TLS: {error}") from error
    return context
