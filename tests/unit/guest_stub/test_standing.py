"""Tests of the line to the SVM for the life of a daemon."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lightagent.v1 import guest_pb2

from guest_stub import standing
from guest_stub.identity.store import IdentityStore
from guest_stub.standing import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, StandingLine, pause_before
from guest_stub.svm_link import link
from guest_stub.svm_link.link import SvmLink
from guest_stub.svm_link.target import Svm
from guest_stub.svm_link.ticket import Ticket
from guest_stub.svm_link.values import ScanSlot
from tests.support.descriptors import open_descriptors
from tests.support.enrolment_side_server import TlsSideServer, enrolled, tls_serving
from tests.support.guest_side_server import Behaviour, serving
from tests.support.held_files import LABELS, Listener, until

chances = st.floats(0, 1, exclude_max=True)


@given(st.integers(0, 10_000), chances)
def test_a_pause_is_neither_short_nor_long(attempts: int, chance: float) -> None:
    """Also after weeks without an SVM."""
    pause = pause_before(attempts, lambda: chance)
    assert FIRST_PAUSE_SECONDS / 2 <= pause <= LONGEST_PAUSE_SECONDS


@given(st.integers(0, 100), chances)
def test_a_pause_doubles_up_to_its_bound(attempts: int, chance: float) -> None:
    """Never shorter after one more attempt."""
    first, second = (pause_before(attempts + more, lambda: chance) for more in (0, 1))
    assert first <= second <= first * 2
    assert second == first * 2 or second >= LONGEST_PAUSE_SECONDS / 2


def test_guests_do_not_come_back_in_the_same_moment() -> None:
    """Half of a pause is left to chance."""
    pauses = [pause_before(5, iter([chance]).__next__) for chance in (0.0, 0.5, 0.999)]
    assert pauses == sorted(set(pauses))
    assert pauses[0] == pytest.approx(pauses[2] / 2, rel=0.01)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits long."""
    monkeypatch.setattr(standing, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(standing, "LONGEST_PAUSE_SECONDS", 0.02)


@asynccontextmanager
async def running(line: StandingLine) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """It, for the life of a test, or until what is given is called."""
    task = asyncio.get_running_loop().create_task(line.run())

    async def stop() -> None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    try:
        yield stop
        assert task.cancelled() or not task.done()
    finally:
        await stop()


@pytest.mark.usefixtures("hasty")
async def test_where_nobody_listens_it_tries_again_and_says_why(tmp_path: Path) -> None:
    """There is no link meanwhile, and no generation."""
    listener = Listener()
    line = StandingLine(f"unix:{tmp_path}/svm.sock", LABELS, [listener])
    assert (line.current, line.why) == (None, "no SVM has answered yet")
    async with running(line):
        await until(lambda: "is the SVM running" in line.why)
        assert (line.current, line.generation) == (None, 0)
    assert (listener.generations, listener.why) == ([], [])


@pytest.mark.usefixtures("hasty")
async def test_an_svm_that_comes_later_is_found(tmp_path: Path) -> None:
    """Whoever wants to know is told of the link, and the listeners of its generation."""
    listener, links = Listener(), list[bool]()
    line = StandingLine(f"unix:{tmp_path}/svm.sock", LABELS, [listener])
    line.on_link.append(lambda: links.append(line.current is not None))
    async with running(line) as stop:
        await until(lambda: "is the SVM running" in line.why)
        async with serving(tmp_path / "svm.sock", Behaviour(generation=5)):
            await until(lambda: line.current is not None)
            await until(lambda: bool(links))
            assert (line.why, line.generation, links) == ("", 5, [True])
            assert listener.generations == [5]
            await stop()


@pytest.mark.usefixtures("hasty")
async def test_a_lost_svm_is_found_again(tmp_path: Path) -> None:
    """Each time; its generation is that of the new one."""
    listener = Listener()
    line = StandingLine(f"unix:{tmp_path}/svm.sock", LABELS, [listener])
    async with running(line):
        for generation in (5, 6, 7):
            async with serving(tmp_path / "svm.sock", Behaviour(generation=generation)):
                await until(lambda: line.current is not None)
            await until(lambda: "is the SVM running" in line.why)
            assert line.current is None
            assert line.generation == generation
    assert listener.generations == [5, 6, 7]
    assert len(listener.why) == 3


@pytest.mark.usefixtures("hasty")
async def test_who_wants_a_link_gets_the_next_one(tmp_path: Path) -> None:
    """Never one that is lost already."""
    line = StandingLine(f"unix:{tmp_path}/svm.sock", LABELS, [])
    async with running(line):
        waiting = asyncio.get_running_loop().create_task(line.link())
        await until(lambda: "is the SVM running" in line.why)
        async with serving(tmp_path / "svm.sock") as server:
            first = await waiting
            assert await line.link() is first
            server.end_attach()
            await first.lost.wait()
            second = await line.link()
            assert second is not first
            assert not second.lost.is_set()


@pytest.mark.usefixtures("hasty")
async def test_what_the_svm_says_unasked_reaches_all_listeners(tmp_path: Path) -> None:
    """In the order that they were given, with what it has said last kept."""
    listeners = [Listener(), Listener()]
    line = StandingLine(f"unix:{tmp_path}/svm.sock", LABELS, listeners)
    async with serving(tmp_path / "svm.sock", Behaviour(generation=5)) as server, running(line):
        await until(lambda: bool(listeners[0].generations))
        generation = guest_pb2.GenerationChange(generation=6)
        revocation = guest_pb2.Revocation(sha256=[bytes(32)])
        await server.tell(
            guest_pb2.AttachReply(generation=generation), guest_pb2.AttachReply(revocation=revocation)
        )
        await server.grant(bytes(16))
        await until(lambda: bool(listeners[1].scans))
        assert listeners[0].scans == listeners[1].scans == [ScanSlot(bytes(16), granted=True)]
        assert line.generation == 6
        assert [each.generations for each in listeners] == [[5, 6], [5, 6]]
        assert [each.digests for each in listeners] == [[bytes(32)], [bytes(32)]]


@pytest.mark.usefixtures("hasty")
async def test_an_svm_that_refuses_is_asked_again(tmp_path: Path) -> None:
    """With what it says as the reason."""
    behaviour = Behaviour(ticket_line=b"f" * 32 + b"\n")
    line = StandingLine(f"unix:{tmp_path}/svm.sock", LABELS, [])
    async with serving(tmp_path / "svm.sock", behaviour) as server, running(line):
        await until(lambda: server.peers_gone >= 3)
        assert "did not let this guest attach" in line.why
        behaviour.ticket_line = Behaviour().ticket_line
        await until(lambda: line.current is not None)


@pytest.mark.usefixtures("hasty")
async def test_the_end_closes_the_link_and_leaves_nothing(tmp_path: Path) -> None:
    """The SVM sees the guest go; no descriptor is left of links that were lost, nor of the last one."""
    before = 0
    for number in range(5):
        line = StandingLine(f"unix:{tmp_path}/svm.sock", LABELS, [])
        async with running(line) as stop:
            async with serving(tmp_path / "svm.sock"):
                await until(partial(has_link, line))
            await until(partial(has_no_link, line))
            async with serving(tmp_path / "svm.sock") as server:
                await until(partial(has_link, line))
                await stop()
                await until(lambda server=server: server.peers_gone == 1)  # type: ignore[misc]
        gc.collect()  # grpc lets go of its sockets by it
        before = before or open_descriptors()  # the first time opens what grpc keeps for good
        assert open_descriptors() <= before + 2, number


def has_link(line: StandingLine) -> bool:
    """Whether an SVM answers."""
    return line.current is not None


def has_no_link(line: StandingLine) -> bool:
    """Whether none does, and that is known."""
    return line.current is None and "is the SVM running" in line.why


@pytest.mark.usefixtures("hasty")
async def test_the_end_in_the_moment_of_a_loss_closes_the_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of a link is left, whenever the stub ends."""
    fetched: list[Ticket] = []
    closed: list[Ticket] = []
    real_connect, real_close = link.connect, Ticket.close

    async def connect(target: str, session: str) -> link.Connection:
        connection = await real_connect(target, session)
        assert connection.ticket is not None
        fetched.append(connection.ticket)
        return connection

    def close(ticket: Ticket) -> None:
        closed.append(ticket)
        real_close(ticket)

    monkeypatch.setattr(link, "connect", connect)
    monkeypatch.setattr(Ticket, "close", close)
    line = StandingLine(f"unix:{tmp_path}/svm.sock", LABELS, [])
    async with serving(tmp_path / "svm.sock") as server, running(line) as stop:
        await until(lambda: line.current is not None)
        current = line.current
        assert current is not None
        lost = asyncio.get_running_loop().create_task(current.lost.wait())
        server.end_attach()
        await lost
        for _ in range(10):  # in the very turn of the loop
            if line.current is not None:
                await asyncio.sleep(0)
        await stop()
    left = [ticket for ticket in fetched if ticket not in closed]
    for ticket in left:
        real_close(ticket)
    assert left == []


@pytest.mark.usefixtures("hasty")
async def test_an_address_of_no_svm_is_said_and_no_end(tmp_path: Path) -> None:
    """Somebody may read it in the log, and the files are protected by what is known."""
    line = StandingLine("http://svm", LABELS, [])
    async with running(line):
        await until(lambda: 'write "unix:/path"' in line.why)


@asynccontextmanager
async def on_tcp(directory: Path, listener: Listener) -> AsyncIterator[tuple[StandingLine, TlsSideServer]]:
    """A line to an SVM that lets a guest attach once at a time."""
    store = IdentityStore(directory)
    async with tls_serving() as side:
        enrolled(side, store)
        line = StandingLine(Svm(side.target, store.proof), LABELS, [listener])
        async with running(line) as stop:
            await until(lambda: line.current is not None)
            yield line, side
            await stop()


@pytest.mark.usefixtures("hasty")
async def test_another_link_takes_the_place_of_the_one_in_use(tmp_path: Path) -> None:
    """It shows what this guest is known by now; there is always one, and the former is closed."""
    listener, store = Listener(), IdentityStore(tmp_path)
    async with on_tcp(tmp_path, listener) as (line, side):
        first, seen = line.current, list[SvmLink | None]()
        assert first is not None
        line.on_link.append(lambda: seen.append(line.current))
        known = enrolled(side, store)
        line.anew()
        await until(lambda: len(seen) == 1)
        second = line.current
        assert second is not first
        assert seen == [second]
        assert second is not None
        assert not second.lost.is_set()
        assert side.register.shown[-1] == known.certificate.encode()
        assert first.lost.is_set()
        assert listener.why == ["another link has taken its place"]
        assert await line.after(first) is second
        side.end_attach()
        await until(lambda: len(seen) == 2)
    assert len(listener.why) == 2


@pytest.mark.usefixtures("hasty")
async def test_where_no_other_is_to_be_had_the_one_in_use_stays(tmp_path: Path) -> None:
    """As where the SVM does not know the new certificate."""
    listener, store = Listener(), IdentityStore(tmp_path)
    async with on_tcp(tmp_path, listener) as (line, side):
        first = line.current
        assert first is not None
        side.register.revoked[enrolled(side, store).guest] = "unknown"
        line.anew()
        await until(line._replaced.is_set)  # it is known whether another is there
        assert not first.followed
        assert (line.current, first.lost.is_set(), listener.why) == (first, False, [])
        assert await line.after(first) is None


@pytest.mark.usefixtures("hasty")
async def test_one_that_is_lost_while_another_is_opened_is_told(tmp_path: Path) -> None:
    """It has no successor, and what was asked on it is known to have no answer."""
    listener, store = Listener(), IdentityStore(tmp_path)
    async with on_tcp(tmp_path, listener) as (line, side):
        first = line.current
        assert first is not None
        side.register.revoked[enrolled(side, store).guest] = "unknown"
        side.vouching.clear()
        line.anew()
        await until(lambda: first.followed)
        after = asyncio.get_running_loop().create_task(line.after(first))
        side.end_attach()
        await first.lost.wait()
        assert listener.why == []
        side.vouching.set()
        assert await after is None
        await until(lambda: len(listener.why) == 1)
        assert "unknown" in listener.why[0]


@pytest.mark.usefixtures("hasty")
async def test_a_fault_of_one_who_is_told_ends_neither_the_link_nor_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said, and all that comes later is told as well."""

    class Faulty(Listener):
        def generation_changed(self, generation: int) -> None:
            raise ValueError("a generation that nobody likes")

    def fail() -> None:
        raise ValueError("I/O operation on closed file")

    listener, linked = Listener(), list[bool]()
    line = StandingLine(f"unix:{tmp_path}/svm.sock", LABELS, [Faulty(), listener])
    line.on_link += [fail, lambda: linked.append(True)]
    async with running(line):
        for number in (1, 2):
            async with serving(tmp_path / "svm.sock"):
                await until(partial(has_link, line))
            await until(partial(has_no_link, line))
            assert len(linked) == len(listener.generations) == number
    assert "nobody likes" in caplog.text
    assert "closed file" in caplog.text


@pytest.mark.usefixtures("hasty")
async def test_a_guest_that_enrols_anew_goes_where_it_enrolled(tmp_path: Path) -> None:
    """Also to another SVM, and without waiting for the next attempt."""
    store, listener = IdentityStore(tmp_path), Listener()
    async with tls_serving() as first, tls_serving() as second:
        enrolled(first, store)
        first.register.revoked[store_guest(store)] = "revoked"

        def target() -> Svm:
            known = store.read()
            assert known is not None
            return Svm(known.svm, store.proof)

        line = StandingLine(target, LABELS, [listener])
        async with running(line) as stop:
            await until(lambda: line.refused)
            assert "does not accept this guest's certificate: revoked" in line.why
            enrolled(second, store)
            line.anew()
            await until(lambda: line.current is not None)
            assert not line.refused
            assert len(second.register.shown) == 1
            await stop()


async def test_who_has_enrolled_anew_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the pause was to be."""
    monkeypatch.setattr(standing, "pause_before", lambda _attempts, _chance: 1000.0)
    line = StandingLine(f"unix:{tmp_path}/svm.sock", LABELS, [])
    async with running(line):
        await until(lambda: "is the SVM running" in line.why)
        async with serving(tmp_path / "svm.sock"):
            line.anew()
            await until(lambda: line.current is not None)
            assert not line.refused


def store_guest(store: IdentityStore) -> str:
    """Who it is."""
    known = store.read()
    assert known is not None
    return known.guest
