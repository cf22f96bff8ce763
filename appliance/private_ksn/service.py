"""The HTTP of the service: the OpenTIP dialect, under /api/v1/.

Every request needs a key and is counted against its rate. 400: what was asked is none of what it should be;
401: no such key; 403: the key's rate is spent; 404: nothing is known; 405: another method; 410: changes
that are not kept; 413, 414: too large; 429: too many wait for changes; 507: no room for submitted files.
What counts is read inline, in microseconds.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web
from aiohttp.hdrs import RETRY_AFTER

from appliance.private_ksn.answers import answer
from appliance.private_ksn.keys import Keys
from appliance.private_ksn.rate import Rates
from appliance.private_ksn.settings import Limits
from appliance.private_ksn.store import Change, Store, StoreError, TooOld
from appliance.private_ksn.subjects import (
    BadSubject,
    Subject,
    SubjectTooLong,
    parse_domain,
    parse_hash,
    parse_ip,
    parse_url,
)
from appliance.private_ksn.submissions import NoRoom, Submissions
from appliance.private_ksn.usage import MAX_BODY_BYTES, BadFigures, Usage, parse_figures

KEY_HEADER = "x-api-key"
CHANGES_AT_ONCE = 1000
CHANGES_BYTES = 512 << 10
STATISTICS_SECONDS = 10.0
RETRY_SECONDS = 5  # when too many wait: one of them may have its answer by then
_MAX_NUMBER_LETTERS = 18
_log = structlog.get_logger("private-ksn")

Handler = Callable[[web.BaseRequest], Awaitable[web.Response]]
Parse = Callable[[str], Subject]


class _Refused(Exception):
    """A request that is answered with this status, and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Service:
    """The handlers, and what they share. keys: may be replaced while it serves.

    counted: (call, status) -> how many answers.
    """

    def __init__(self, store: Store, keys: Keys, limits: Limits, data: Path) -> None:
        """data: the directory for what is submitted. Raises OSError where it cannot be used."""
        self._submissions = Submissions(data / "submitted", limits.submitted_mib << 20)
        self._usage = Usage(data, limits.statistics_mib << 20)
        self.keys = keys
        self.counted: Counter[tuple[str, int]] = Counter()
        self._store = store
        self._limits = limits
        self._rates = Rates(limits.requests_per_second, time.monotonic)
        self._waiting: Counter[str] = Counter()
        self._changed = asyncio.Event()
        self._sequence = store.sequence()
        self._stopping = False
        self._by_path = self._calls()

    def _calls(self) -> dict[str, tuple[str, Handler]]:
        """What is served: path -> method and handler."""
        questions = {"hash": parse_hash, "ip": parse_ip, "domain": parse_domain, "url": parse_url}
        return {
            **{
                f"/api/v1/search/{kind}": ("GET", self._search(kind, parse))
                for kind, parse in questions.items()
            },
            "/api/v1/changes": ("GET", self._guarded("changes", self._changes)),
            "/api/v1/scan/file": ("POST", self._guarded("scan/file", self._submit)),
            "/api/v1/getresult/file": ("POST", self._guarded("getresult/file", self._result)),
            "/api/v1/statistics": ("POST", self._guarded("statistics", self._statistics)),
        }

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Answer a request. There are so few paths that aiohttp's router would cost more than it gives."""
        method, handler = self._by_path.get(request.rel_url.raw_path, ("", None))
        if handler is None:
            return refusal(404, "there is no such call")
        if request.method != method and (request.method, method) != ("HEAD", "GET"):
            return refusal(405, f"this call takes {method}")
        return await handler(request)

    @property
    def waiting(self) -> int:
        """How many requests wait for changes now."""
        return self._waiting.total()

    @property
    def submitted_bytes(self) -> int:
        """How much of the room for submitted files is taken."""
        return self._submissions.used

    def look_for_changes(self) -> None:
        """Wake those who wait where another process changed a zone. To be called several times a second."""
        sequence = self._store.sequence()
        if sequence != self._sequence:
            self._sequence = sequence
            self._wake()

    def stop(self) -> None:
        """Answer those who wait now."""
        self._stopping = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _guarded(
        self, call: str, handler: Callable[[web.BaseRequest, str], Awaitable[web.Response]]
    ) -> Handler:
        """Let the handler answer those who have a key and have not asked too often."""

        async def guarded(request: web.BaseRequest) -> web.Response:
            owner = self.keys.owner(request.headers.get(KEY_HEADER, ""))
            if owner is None:
                response = refusal(401, "no such key")
            elif not self._rates.admit(owner):
                response = refusal(403, "too many requests a second")
            else:
                try:
                    response = await handler(request, owner)
                except _Refused as error:
                    response = refusal(error.status, str(error))
                except StoreError as error:
                    _log.error("store failed", why=str(error))
                    response = refusal(500, "the store cannot be read")
                except OSError as error:
                    response = refusal(500, f"it cannot be kept: {error.strerror}")
            self.counted[call, response.status] += 1
            return response

        return guarded

    def _search(self, kind: str, parse: Parse) -> Handler:
        async def search(request: web.BaseRequest, _owner: str) -> web.Response:
            try:
                subject = parse(_asked(request))
            except SubjectTooLong as error:
                return refusal(414, str(error))
            except BadSubject as error:
                return refusal(400, str(error))
            found = self._store.lookup(subject.key)
            return reply(answer(subject, *found)) if found else refusal(404, "nothing is known")

        return self._guarded(f"search/{kind}", search)

    async def _submit(self, request: web.BaseRequest, owner: str) -> web.Response:
        """Keep the body for the operator. What is known of it is told as getresult does."""
        submission = self._submissions.begin()
        try:
            most = self._limits.max_submit_mib << 20
            await _receive(request, most, self._limits.submit_seconds, submission.add)
            if not submission.size:
                raise _Refused(400, "the body is empty")
            sha256 = submission.keep(request.query.get("filename", ""), owner, int(time.time()))
        except NoRoom as error:
            raise _Refused(507, str(error)) from error
        finally:
            submission.drop()
        return self._told(parse_hash(sha256))

    async def _result(self, request: web.BaseRequest, _owner: str) -> web.Response:
        try:
            return self._told(parse_hash(request.query.get("request", "")))
        except BadSubject as error:
            return refusal(400, str(error))

    def _told(self, subject: Subject) -> web.Response:
        """What is known of a file, or that it waits for the operator's look."""
        if found := self._store.lookup(subject.key):
            return reply({**answer(subject, *found), "Status": "complete"})
        if self._submissions.has(subject.text):
            return reply({"FileGeneralInfo": {"Sha256": subject.text}, "Status": "in progress"})
        return refusal(404, "nothing is known, and it was not submitted")

    async def _statistics(self, request: web.BaseRequest, owner: str) -> web.Response:
        """Append figures; 204. See `usage` for what they may be."""
        body = bytearray()
        await _receive(request, MAX_BODY_BYTES, STATISTICS_SECONDS, body.extend)
        try:
            self._usage.append(parse_figures(bytes(body)), owner, int(time.time()))
        except BadFigures as error:
            raise _Refused(400, str(error)) from error
        return web.Response(status=204)

    async def _changes(self, request: web.BaseRequest, owner: str) -> web.Response:
        try:
            since = _number(request.query.get("since", ""))
            wait = min(float(_number(request.query.get("wait", "0"))), self._limits.wait_seconds)
        except ValueError as error:
            return refusal(400, str(error))
        if since == self._sequence and wait and not self._stopping:
            if self._waiting[owner] >= self._limits.waiting:
                after: dict[str, str] = {RETRY_AFTER: str(RETRY_SECONDS)}
                return refusal(429, "too many requests of this key wait for changes", after)
            self._waiting[owner] += 1
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                pass
            finally:
                self._waiting[owner] -= 1
        try:
            found, last = self._store.changes(since, CHANGES_AT_ONCE)
        except TooOld as error:
            return reply({"message": str(error), "sequence": self._store.sequence()}, 410)
        changes = _fitting([_told_change(one) for one in found])
        upto = changes[-1]["sequence"] if changes else last
        return reply({"sequence": upto, "more": upto != last, "changes": changes})


def _told_change(change: Change) -> dict[str, Any]:
    """A change without the words that nobody said; its zone is told also where there is none."""
    return {name: said for name, said in asdict(change).items() if said or name == "zone"}


def _fitting(changes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first of them that fit one answer, and one at least: clients read no more than a MiB."""
    size = 0
    for place, change in enumerate(changes):
        size += len(json.dumps(change))
        if size > CHANGES_BYTES:
            return changes[: max(place, 1)]
    return changes


def reply(body: dict[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer with a JSON body."""
    raw = json.dumps(body).encode()
    return web.Response(body=raw, status=status, headers=headers, content_type="application/json")


def refusal(status: int, why: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer that says why there is none."""
    return reply({"message": why}, status, headers)


def _asked(request: web.BaseRequest) -> str:
    """The parameter `request`. Where it stands alone and has no escapes, it is not parsed for the others."""
    name, _, value = request.rel_url.raw_query_string.partition("=")
    if name == "request" and value.isascii() and value.isalnum():
        return value
    return request.query.get("request", "")


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_NUMBER_LETTERS):
        raise ValueError(f"{text[:40]!r} is no number: give since=N, and wait=SECONDS where you want to wait")
    return int(text)


async def _receive(
    request: web.BaseRequest, most: int, seconds: float, take: Callable[[bytes], None]
) -> None:
    """Hand on the body as it comes, of at most `most` bytes and `seconds`, or raise _Refused."""
    size = request.content_length or 0
    try:
        async with asyncio.timeout(seconds):
            if size <= most:
                size = 0
                async for chunk in request.content.iter_any():
                    size += len(chunk)
                    if size > most:
                        break
                    take(chunk)
    except TimeoutError:
        raise _Refused(400, f"the body did not come within {seconds:g} s") from None
    if size > most:
        raise _Refused(413, f"the body may have {most} bytes")
