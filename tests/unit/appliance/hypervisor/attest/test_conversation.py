"""One machine on its channel, which is hostile."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from appliance.hypervisor.attest import conversation as module
from appliance.hypervisor.attest.allowance import Allowance
from appliance.hypervisor.attest.channel import Channel
from appliance.hypervisor.attest.conversation import Conversation, NoToken
from appliance.hypervisor.attest.messages import Offer
from tests.support.held_files import until

KEY = b"k" * 32
DEADLINE = 30.0


class Machine:
    """What speaks in the machine: whole lines, or whatever it likes."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self.end = end
        self._held = b""

    async def say(self, data: bytes) -> None:
        """Send it."""
        async with asyncio.timeout(DEADLINE):
            await asyncio.get_running_loop().sock_sendall(self.end, data)

    async def asks(self, key: bytes = KEY) -> str:
        """Ask for a key; the nonce."""
        nonce = os.urandom(16).hex()
        await self.say(json.dumps({"version": 1, "nonce": nonce, "key_sha256": key.hex()}).encode() + b"\n")
        return nonce

    async def hears(self) -> dict[str, object]:
        """The next answer."""
        async with asyncio.timeout(DEADLINE):
            while b"\n" not in self._held:
                self._held += await asyncio.get_running_loop().sock_recv(self.end, 65536)
        line, _, self._held = self._held.partition(b"\n")
        said: dict[str, object] = json.loads(line)
        return said


class Desk:
    """Gives tokens. problem: why not."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.problem = ""

    async def offer(self, key: bytes) -> Offer:
        """A token for a key."""
        self.asked.append(key)
        if self.problem:
            raise NoToken(self.problem)
        return Offer(f"token-{len(self.asked)}", "uuid", "h:1", "h:2", b"f" * 32)


@asynccontextmanager
async def talking(desk: Desk, burst: int = 100) -> AsyncIterator[tuple[Machine, Conversation]]:
    """A machine whose channel is held."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        talk = Conversation("web-1", desk.offer, Allowance(lambda: 0.0, burst))
        task = asyncio.get_running_loop().create_task(talk.hold(Channel(ours)))
        try:
            yield Machine(theirs), talk
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses."""
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(module, "OVER_SECONDS", 0.0)


async def test_who_asks_is_answered_and_nobody_else() -> None:
    """With the nonce of the question; until it asks nothing is sent."""
    desk = Desk()
    async with talking(desk) as (machine, talk):
        await asyncio.sleep(0)
        with pytest.raises(BlockingIOError):
            machine.end.recv(1)
        nonce = await machine.asks()
        said = await machine.hears()
        assert (said["nonce"], said["token"], said["svm"]) == (nonce, "token-1", "h:1")
        assert (desk.asked, talk.given) == ([KEY], 1)
        machine.end.close()


@pytest.mark.parametrize(
    "garbage",
    [
        b"\n" * 10_000,
        b"\0\xff" * 3000 + b"\n",
        b"{" * 100_000 + b"\n",
        b'{"version": 1}\n' * 500,
        b"half a line",
    ],
)
async def test_garbage_is_passed_over(garbage: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What asks after it is answered."""
    monkeypatch.setattr(module, "HALF_SECONDS", 0.05)
    desk = Desk()
    async with talking(desk) as (machine, _):
        await machine.say(garbage + b"\n")
        nonce = await machine.asks()
        assert (await machine.hears())["nonce"] == nonce
        assert len(desk.asked) == 1


async def test_half_a_line_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks after one who was killed in the middle is heard."""
    monkeypatch.setattr(module, "HALF_SECONDS", 0.02)
    async with talking(Desk()) as (machine, _):
        await machine.say(b'{"version": 1, "non')
        said: dict[str, object] = {}
        while not said:
            nonce = await machine.asks()
            with suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    said = await machine.hears()
        assert said["nonce"] == nonce


async def test_who_asks_too_often_is_told_when() -> None:
    """The SVM hears of it as often as the allowance has it, and no more."""
    desk = Desk()
    async with talking(desk, burst=2) as (machine, _):
        for _ in range(2):
            await machine.asks()
            assert "token" in await machine.hears()
        for _ in range(5):
            await machine.asks()
            said = await machine.hears()
            assert said["refused"] == "this machine has asked too often"
            assert said["retry_seconds"] == 600
    assert len(desk.asked) == 2


async def test_of_many_questions_at_once_the_newest_is_answered() -> None:
    """A flood costs the SVM one token, not one for each line."""
    desk = Desk()
    async with talking(desk) as (machine, _):
        lines = [
            json.dumps({"version": 1, "nonce": f"{number:032x}", "key_sha256": KEY.hex()}).encode() + b"\n"
            for number in range(100)
        ]
        await machine.say(b"".join(lines))
        said = await machine.hears()
        while said["nonce"] != f"{99:032x}":
            said = await machine.hears()
        assert len(desk.asked) < 5


async def test_without_a_token_it_is_told_so_and_costs_no_allowance() -> None:
    """Why is for the log: the SVM's sentence is not the machine's business."""
    desk = Desk()
    async with talking(desk, burst=1) as (machine, talk):
        desk.problem = "no tenant acme is known"
        for _ in range(3):
            await machine.asks()
            said = await machine.hears()
            assert "acme" not in str(said["refused"])
            assert said["retry_seconds"] == 30
        desk.problem = ""
        await machine.asks()
        assert "token" in await machine.hears()
        await until(lambda: talk.given == 1)


async def test_it_ends_with_qemu_and_with_one_token_where_one_is_wanted() -> None:
    """What is held by somebody's order is let go of then."""
    desk = Desk()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours:
        talk = Conversation("web-1", desk.offer, Allowance(lambda: 0.0))
        machine = Machine(theirs)
        await machine.asks()
        async with asyncio.timeout(DEADLINE):
            await talk.hold(Channel(ours), once=True)
        assert talk.given == 1
        theirs.close()
        async with asyncio.timeout(DEADLINE):
            await Conversation("web-1", desk.offer, Allowance(lambda: 0.0)).hold(Channel(ours))
