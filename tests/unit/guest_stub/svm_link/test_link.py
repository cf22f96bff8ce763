"""Tests of the link as a whole: reaching an SVM, losing it, closing."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from guest_stub.identity.store import IdentityStore
from guest_stub.outcome import Outcome
from guest_stub.svm_link import link as link_module
from guest_stub.svm_link.attach import AttachStream, Call
from guest_stub.svm_link.link import SvmLink, SvmUnreachable
from guest_stub.svm_link.target import Svm
from guest_stub.svm_link.values import EventKind, GuestEvent, ScanState, ScanStatus
from tests.support.authority import Authority, proof_of
from tests.support.enrolment_side_server import enrolled, tls_serving
from tests.support.guest_side_server import Behaviour, GuestSideServer, serving
from tests.support.held_files import LABELS, HeldFiles, Listener, attached, batch_of, ends, until
from tests.support.met_ends import write_meets_end


async def test_no_svm_says_so(tmp_path: Path) -> None:
    """Without a socket the sentence names it and says what to look at."""
    with pytest.raises(SvmUnreachable, match=r"svm\.sock\.id: No such file or directory: is the SVM running"):
        await SvmLink.open(f"unix:{tmp_path}/svm.sock", LABELS, 30.0)


async def test_nobody_at_a_port_says_so(unused_tcp_port: int) -> None:
    """A port that nobody listens on is refused at once, with the address."""
    svm = Svm(f"tcp:127.0.0.1:{unused_tcp_port}", lambda: proof_of(Authority()))
    with pytest.raises(SvmUnreachable, match=f"tcp:127.0.0.1:{unused_tcp_port}: .*UNAVAILABLE"):
        await SvmLink.open(svm, LABELS, 30.0)


async def test_a_guest_that_is_not_enrolled_is_told_what_to_do(unused_tcp_port: int) -> None:
    """Nothing goes over TCP without a certificate."""
    with pytest.raises(SvmUnreachable, match=r"is not enrolled, .*run: guest-stub enrol --svm HOST"):
        await SvmLink.open(f"tcp:127.0.0.1:{unused_tcp_port}", LABELS, 30.0)


async def test_over_tcp_both_sides_show_a_certificate(tmp_path: Path) -> None:
    """The SVM hears who the guest is, and which machine; what is asked is answered."""
    store = IdentityStore(tmp_path)
    async with tls_serving() as side:
        identity = enrolled(side, store)
        labels = replace(LABELS, machine=b"m" * 32)
        async with await SvmLink.open(Svm(side.target, store.proof), labels, 30.0) as link:
            side.known = {batch_of(1).digests[0]: 3}
            assert (await link.check(batch_of(1))).outcomes == [3]
        assert side.hellos[0].machine == b"m" * 32
        assert side.register.shown == [identity.certificate.encode()]


async def test_a_guest_that_is_revoked_hears_what_to_do(tmp_path: Path) -> None:
    """While it is attached, and when it comes again."""
    store = IdentityStore(tmp_path)
    async with tls_serving() as side:
        svm, guest = Svm(side.target, store.proof), enrolled(side, store).guest
        side.register.revoked[guest] = "this certificate was revoked: lost"
        with pytest.raises(SvmUnreachable, match="revoked: lost: enrol this guest anew: guest-stub enrol"):
            await SvmLink.open(svm, LABELS, 30.0)
        del side.register.revoked[guest]
        side.end_reason = (grpc.StatusCode.UNAUTHENTICATED, "this certificate was cloned")
        async with await SvmLink.open(svm, LABELS, 30.0) as link:
            side.end_attach()
            await link.lost.wait()
            assert "this certificate was cloned: enrol this guest anew" in link.why_lost


async def test_a_guest_that_is_revoked_hears_that_also_where_its_hello_meets_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SVM may end the call before it has read a word of it."""
    monkeypatch.setattr(link_module, "AttachStream", meeting_the_end(AttachStream))
    store = IdentityStore(tmp_path)
    async with tls_serving() as side:
        svm, guest = Svm(side.target, store.proof), enrolled(side, store).guest
        side.register.revoked[guest] = "this certificate was revoked: lost"
        with pytest.raises(SvmUnreachable, match="revoked: lost: enrol this guest anew") as refused:
            await SvmLink.open(svm, LABELS, 30.0)
        assert refused.value.is_of_certificate


def meeting_the_end(stream: type[AttachStream]) -> Callable[[Call, None], AttachStream]:
    """A stream, all of whose writes come when the SVM has ended the call already."""

    def begun(call: Call, listener: None) -> AttachStream:
        begun = stream(call, listener)
        write_meets_end(call)
        return begun

    return begun


@pytest.mark.parametrize("target", ["", "unix:", "tcp:", "tcp:host", "/run/svm.sock", "http://svm:80"])
async def test_an_address_of_another_form_says_how_to_write_it(target: str) -> None:
    """What is no address of an SVM is refused with the two forms that are."""
    with pytest.raises(SvmUnreachable, match='write "unix:/path" or "tcp:host:port"'):
        await SvmLink.open(target, LABELS, 30.0)


async def test_a_silent_svm_is_not_waited_for_longer_than_told(tmp_path: Path) -> None:
    """A companion socket that hands out nothing ends the attempt at its deadline."""
    behaviour = Behaviour(ticket_line=b"")
    async with serving(tmp_path / "svm.sock", behaviour) as server:
        with pytest.raises(SvmUnreachable, match=r"no SVM has answered within 0.1 s"):
            await SvmLink.open(server.target, LABELS, 0.1)


async def test_a_refused_ticket_says_so(tmp_path: Path) -> None:
    """A ticket that does not count is the SVM's refusal, with its words."""
    behaviour = Behaviour(ticket_line=b"f" * 32 + b"\n")
    async with serving(tmp_path / "svm.sock", behaviour) as server:
        with pytest.raises(SvmUnreachable, match="did not let this guest attach: UNAUTHENTICATED: no ticket"):
            await SvmLink.open(server.target, LABELS, 30.0)
        await until(lambda: server.peers_gone == 1)


@pytest.mark.parametrize("stream", ["attach", "check"])
async def test_a_stream_that_ends_loses_the_svm(tmp_path: Path, stream: str) -> None:
    """When the SVM ends Attach or Check, every open question ends as NO_SVM and the link says why."""
    listener = Listener()
    behaviour = Behaviour(on_check=lambda _: [])
    async with attached(tmp_path, behaviour, listener) as (link, server):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(link.check(batch_of(2, first=number))) for number in range(5)]
            await until(lambda: len(server.check_requests) == 5)
            if stream == "attach":
                server.end_attach()
            else:
                behaviour.abort_check = (grpc.StatusCode.ABORTED, "attached anew")
                group.create_task(link.check(batch_of(1)))
        assert [task.result().outcomes for task in tasks] == [[100, 100]] * 5
        assert link.lost.is_set()
        assert link.why_lost == f"the SVM's {stream.title()} stream: ABORTED: attached anew"
        assert tasks[0].result().answer(1).reason == link.why_lost
        assert (await link.check(batch_of(1))).outcomes == [Outcome.NO_SVM]
    assert listener.why == [link.why_lost]


async def test_an_svm_that_goes_away_in_the_middle_of_an_upload(tmp_path: Path) -> None:
    """Questions whose content is under way end as NO_SVM too, and nothing hangs."""
    files = HeldFiles(tmp_path, [b"small", os.urandom(30 << 18)])
    listener = Listener()
    behaviour = Behaviour(take_content=asyncio.Event())
    async with serving(tmp_path / "svm.sock", behaviour) as server:
        link = await SvmLink.open(server.target, LABELS, 30.0, listener)
        question = await link.check(files.batch())
        await until(lambda: server.scan_streams == 2)
    answers = await ends(question)
    assert {answer.outcome for answer in answers.values()} == {Outcome.NO_SVM}
    assert len(listener.why) == 1
    await link.close()


async def test_closing_ends_what_is_open(tmp_path: Path) -> None:
    """After close() open questions are NO_SVM, the ticket is given back, and the listener hears nothing."""
    listener = Listener()
    behaviour = Behaviour(on_check=lambda _: [])
    async with attached(tmp_path, behaviour, listener) as (link, server):
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(link.check(batch_of(1)))
            await until(lambda: len(server.check_requests) == 1)
            await link.close()
        assert asked.result().answer(0).outcome is Outcome.NO_SVM
        assert asked.result().answer(0).reason == "the link was closed"
        await link.close()
        await until(lambda: server.peers_gone == 1)
    assert listener.why == []


async def test_closing_leaves_no_descriptor(tmp_path: Path) -> None:
    """A link that was closed in the middle of an upload holds no file open."""
    files = HeldFiles(tmp_path, [os.urandom(30 << 18)])
    async with serving(tmp_path / "svm.sock", Behaviour(take_content=asyncio.Event())) as server:
        link = await SvmLink.open(server.target, LABELS, 30.0)
        question = await link.check(files.batch())
        await until(lambda: held_open(files.paths[0]))
        await link.close()
        await until(lambda: not held_open(files.paths[0]))
    assert [answer.outcome for answer in (await ends(question)).values()] == [Outcome.NO_SVM]
    assert not held_open(files.paths[0])


def held_open(path: Path) -> bool:
    """Whether this process has the file open."""
    for number in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{number}") == str(path):
                return True
        except FileNotFoundError:
            continue
    return False


async def test_a_fault_of_the_callers_own_loses_the_link_loudly(tmp_path: Path) -> None:
    """An exception of `content` ends the questions with its name, and is not swallowed."""
    seen: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: seen.append(context.get("exception")))
    async with attached(tmp_path) as (link, _):
        question = await link.check(batch_of(1))  # its content raises AssertionError
        assert question.outcomes == [20]
        assert [answer.outcome for answer in (await ends(question)).values()] == [Outcome.NO_SVM]
        assert "AssertionError" in link.why_lost


async def test_two_links_live_side_by_side(tmp_path: Path) -> None:
    """A process may hold links to two SVMs; the end of one leaves the other."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with attached(tmp_path / "a") as (first, _), attached(tmp_path / "b") as (second, server):
        server.known = {batch_of(1).digests[0]: 3}
        await first.close()
        assert (await second.check(batch_of(1))).outcomes == [3]
        assert not second.lost.is_set()


async def test_events_that_break_a_rule_are_told_from_an_svm_that_goes(tmp_path: Path) -> None:
    """Only INVALID_ARGUMENT on Attach is about what was said there."""
    said = GuestEvent(1, EventKind.ACTION, 1.5)
    behaviour = Behaviour(refuses_events=lambda _: True)
    async with attached(tmp_path, behaviour) as (link, server):
        await link.send_events(b"j" * 16, [said])
        await link.lost.wait()
        assert link.refused
        assert "INVALID_ARGUMENT: these events break a rule" in link.why_lost
    (tmp_path / "other").mkdir()
    async with attached(tmp_path / "other") as (link, server):
        server.end_attach()
        await link.lost.wait()
        assert not link.refused


async def test_events_under_way_when_the_link_is_closed_raise_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it end their sender, whom an SVM that takes nothing holds up: he has another link to come."""

    async def takes_nothing(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(GuestSideServer, "_take_heartbeats_and_events", takes_nothing)
    said = [GuestEvent(number, EventKind.ACTION, 1.5, path=b"p" * 4096) for number in range(1, 32)]
    async with attached(tmp_path) as (link, _):
        sent = 0

        async def send() -> None:
            nonlocal sent
            while not link.lost.is_set():
                await link.send_events(b"j" * 16, said)
                sent += 1

        sender = asyncio.get_running_loop().create_task(send())
        before = -1
        while sent > before:  # until nothing more goes
            before = sent
            await asyncio.sleep(0.1)
        await link.close()
        await sender


async def test_an_svm_that_takes_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written for it does not pile up behind callers who have gone."""
    monkeypatch.setattr(link_module, "WRITE_SECONDS", 0.05)
    async with attached(tmp_path) as (link, _):
        async with link._attach._writing:  # as a write that flow control holds up
            await link.send_scan_status(ScanStatus(bytes(16), ScanState.WAITING))
        await until(link.lost.is_set)
        assert "has taken nothing for 0.05 s" in link.why_lost
        assert not link._writes
