"""Whether a guest may attach, and stay."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from lightagent.v1 import guest_pb2
from lightagent.v1.guest_pb2 import Hello

from appliance.domain.guest import Guest
from appliance.identity.issuing import Enrolled
from appliance.rpc.admission import ANYBODY, ByRegister, Unadmitted
from appliance.rpc.calls import Breach
from appliance.rpc.sessions import Labels, Session, Sessions
from appliance.state.environment import StateError
from tests.support.identities import MACHINE, NOW, OTHER_MACHINE, Office, asked, office, shown

DAEMON = guest_pb2.GUEST_PROGRAM_DAEMON


class Call:
    """A context: where the call comes from, and which session it says."""

    def __init__(self, address: str = "10.0.0.1", session: str = "0" * 16) -> None:
        self._address, self._session = address, session

    def peer(self) -> str:
        """As gRPC writes it."""
        return f"ipv4:{self._address}:5555"

    def invocation_metadata(self) -> Any:
        """Its session."""
        return (("session", self._session),)


@dataclass
class Door:
    """An admission over a real register. shown: what whoever calls has shown."""

    office: Office
    sessions: Sessions
    now: float = 0.0
    shown: bytes = b""

    def __post_init__(self) -> None:
        self.admission = ByRegister(
            self.office.registry, self.sessions, lambda _context: self.shown, lambda: self.now
        )

    async def greets(self, guest: Guest, hello: Hello, call: Call) -> Session:
        """A guest says Hello, and is attached where it may be."""
        self.now += 10
        await self.admission.greeted(call, guest, hello)  # type: ignore[arg-type]
        name = dict(call.invocation_metadata())["session"]
        labels = Labels(boot_id=hello.boot_id)
        return self.sessions.attach(guest, labels, name, hello.program == DAEMON)

    def guest(self, enrolled: Enrolled) -> Guest:
        """Who it is, which has shown its certificate."""
        self.shown = shown(enrolled)
        return self.office.registry.guest(self.shown)


@asynccontextmanager
async def door(directory: Path) -> AsyncIterator[Door]:
    """One."""
    with office(directory) as desk:
        yield Door(desk, Sessions(16, lambda: NOW))
        await desk.registry.finish()


def hello(boot: str = "A", machine: bytes = MACHINE, daemon: bool = True) -> Hello:
    """What a guest says first."""
    program = DAEMON if daemon else guest_pb2.GUEST_PROGRAM_UNSPECIFIED
    return Hello(boot_id=boot, machine=machine, program=program)


async def test_a_guest_attaches_on_the_machine_that_enrolled(tmp_path: Path) -> None:
    """Another is turned away, and the first goes on."""
    async with door(tmp_path) as here:
        guest = here.guest(here.office.enrolled())
        session = await here.greets(guest, hello(), Call())
        for machine in (OTHER_MACHINE, b""):
            with pytest.raises(Unadmitted, match="another machine") as refused:
                await here.greets(guest, hello("B", machine), Call("10.0.0.2", "1" * 16))
            assert refused.value.status is grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(Breach, match="machine has 5 bytes"):
            await here.greets(guest, hello(machine=b"short"), Call())
        assert not session.replaced
        assert here.sessions.of_guest(guest.id) == [session]


async def test_who_shows_a_newer_certificate_takes_the_place_of_all_before(tmp_path: Path) -> None:
    """Nothing stays open over a certificate that has ended by that."""
    async with door(tmp_path) as here:
        enrolled = here.office.enrolled()
        guest = here.guest(enrolled)
        before = await here.greets(guest, hello(daemon=False), Call())
        renewed = await here.office.registry.renew(shown(enrolled), asked())
        session = await here.greets(here.guest(renewed), hello(), Call(session="1" * 16))
        assert (before.replaced, session.replaced) == (True, False)
        other = await here.greets(guest, hello(daemon=False), Call(session="2" * 16))
        assert (session.replaced, other.replaced) == (False, False)


async def test_copies_that_attach_by_turns_both_end(tmp_path: Path) -> None:
    """The register says so to whoever cuts calls, and neither comes back with it."""
    async with door(tmp_path) as here:
        ended: list[tuple[str, str]] = []
        here.office.registry.on_ended.append(lambda holder, why: ended.append((holder.name, why)))
        guest = here.guest(here.office.enrolled())
        calls = {"A": Call("10.0.0.1", "a" * 16), "B": Call("10.0.0.2", "b" * 16)}
        for boot in "ABA":
            await here.greets(guest, hello(boot), calls[boot])
        with pytest.raises(Unadmitted, match="enrol anew"):
            await here.greets(guest, hello("B"), calls["B"])
        assert [name for name, _ in ended] == [guest.id]
        assert "two machines" in ended[0][1]
        with pytest.raises(Unadmitted, match="used in two places"):
            await here.greets(guest, hello("A"), calls["A"])
        again = here.guest(here.office.enrolled(uuid=guest.id))
        await here.greets(again, hello("B"), calls["B"])


async def test_copies_that_are_attached_at_once_both_end(tmp_path: Path) -> None:
    """By what they say on Attach: other programs than daemons take nobody's place."""
    async with door(tmp_path) as here:
        guest = here.guest(here.office.enrolled())
        sessions = [
            await here.greets(guest, hello(boot, daemon=False), Call(session=boot.lower() * 16))
            for boot in "AB"
        ]
        here.now += 10
        await here.admission.spoke(sessions[0])
        here.now += 10
        with pytest.raises(Unadmitted, match="two machines"):
            await here.admission.spoke(sessions[1])
        assert here.office.registry.counts["cloned"] == 1


async def test_programs_of_one_machine_may_speak_by_turns(tmp_path: Path) -> None:
    """They have one boot id."""
    async with door(tmp_path) as here:
        guest = here.guest(here.office.enrolled())
        sessions = [
            await here.greets(guest, hello(daemon=number == 0), Call(session=str(number) * 16))
            for number in range(3)
        ]
        for _ in range(10):
            for session in sessions:
                here.now += 10
                await here.admission.spoke(session)


async def test_a_clone_that_cannot_be_kept_is_turned_away_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it is seen again when there is room on the disk."""
    async with door(tmp_path) as here:
        guest = here.guest(here.office.enrolled())
        for boot in "ABA":
            await here.greets(guest, hello(boot), Call(session=boot.lower() * 16))

        def full(*_args: object) -> None:
            raise StateError("no room")

        with monkeypatch.context() as patched:
            patched.setattr(here.office.ender, "cloned", full)
            with pytest.raises(Unadmitted, match="come back later"):
                await here.greets(guest, hello("B"), Call(session="b" * 16))
        with pytest.raises(Unadmitted, match="enrol anew"):
            await here.greets(guest, hello("A"), Call(session="a" * 16))


async def test_on_a_unix_socket_the_kernel_has_said_enough(tmp_path: Path) -> None:
    """Whatever a process says of its machine."""
    guest = Guest("uid-0.pid-1")
    await ANYBODY.greeted(Call(), guest, hello(machine=b"any"))  # type: ignore[arg-type]
    await ANYBODY.spoke(Session(guest, Labels(), NOW))
