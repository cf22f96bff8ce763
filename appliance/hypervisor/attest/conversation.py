"""One machine on its channel. It may say anything, as much as it likes, or nothing, and never read.

What it costs: a small buffer, a millisecond four times in a second, and of the SVM what its allowance has.
It is read no faster than that, so that what else it says waits in its own memory.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from appliance.hypervisor.attest.allowance import Allowance
from appliance.hypervisor.attest.messages import MAX_ASK_BYTES, Ask, BadAsk, Offer, Refusal, answer, parse

PAUSE_SECONDS = 0.25  # after whatever was read
OVER_SECONDS = 5.0  # after a refusal
HALF_SECONDS = 5.0  # that the rest of a line may take
OFFER_SECONDS = 60.0
AGAIN_SECONDS = 30
_LINES = 4  # of what came at once, that are looked at: the newest ask counts

_TOO_OFTEN = "this machine has asked too often"
_NOT_NOW = "the host gets no token from the SVM now: see the log of svm-host"

log = structlog.get_logger("svm-host")


class NoToken(Exception):
    """There is none for this machine now; the message, which is for the log, says why and what to do."""


class Line(Protocol):
    """A `channel.Channel`."""

    async def receive(self, seconds: float | None = None) -> bytes:
        """See Channel."""

    async def send(self, line: bytes) -> None:
        """See Channel."""


Offering = Callable[[bytes], Awaitable[Offer]]


class Conversation:
    """With one machine, over whatever connections to it follow each other.

    offering: gives a token for a key; raises NoToken. given: how many were handed over.
    """

    def __init__(self, name: str, offering: Offering, allowance: Allowance) -> None:
        """name: of the machine, for the log."""
        self.given = 0
        self._name = name
        self._offering = offering
        self._allowance = allowance
        self._said = ""

    async def hold(self, line: Line, once: bool = False) -> None:
        """Answer until QEMU is gone, or (once) one token was handed over. Raises ChannelError."""
        held = b""
        while not (once and self.given):
            try:
                data = await line.receive(HALF_SECONDS if held else None)
            except TimeoutError:
                held = b""  # whoever began this line does not go on with it
                continue
            if not data:
                return
            *lines, held = (held + data).split(b"\n")
            if len(held) > MAX_ASK_BYTES:
                held = b""
            ask = _newest(lines)
            if ask is not None:
                await self._answer(line, ask)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _answer(self, line: Line, ask: Ask) -> None:
        if not self._allowance.takes():
            wait = self._allowance.wait()
            if self._is_news("too often"):
                log.warning("a machine asks for tokens too often", machine=self._name, next_in_seconds=wait)
            await line.send(answer(ask, Refusal(_TOO_OFTEN, wait)))
            await asyncio.sleep(OVER_SECONDS)
            return
        given = await self._given(ask)
        await line.send(answer(ask, given))
        if isinstance(given, Refusal):
            self._allowance.give_back()
            await asyncio.sleep(OVER_SECONDS)
            return
        self.given += 1
        self._said = ""
        log.info("a machine was handed a token", machine=self._name, guest=given.guest)

    async def _given(self, ask: Ask) -> Offer | Refusal:
        try:
            async with asyncio.timeout(OFFER_SECONDS):
                return await self._offering(ask.key_sha256)
        except NoToken as problem:
            why = str(problem)
        except TimeoutError:
            why = f"the SVM did not answer within {OFFER_SECONDS:g} s"
        if self._is_news(why):
            log.warning("a machine got no token", machine=self._name, why=why)
        return Refusal(_NOT_NOW, AGAIN_SECONDS)

    def _is_news(self, what: str) -> bool:
        """Whether it is to be said: once, until a token is handed over or it is something else."""
        news, self._said = what != self._said, what
        return news


def _newest(lines: list[bytes]) -> Ask | None:
    for line in reversed(lines[-_LINES:]):
        try:
            return parse(line)
        except BadAsk:
            continue
    return None
