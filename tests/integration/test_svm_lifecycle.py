"""A real `svm serve` is started, stopped, killed and started again."""

import asyncio
import signal
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from lightagent.v1 import guest_pb2, verdict_pb2

from appliance.verdicts.store import read_stats
from guest_stub.svm_link.link import SvmLink
from guest_stub.svm_link.values import EventKind, GuestEvent, HelloLabels
from tests.support import commands
from tests.support.contents import EICAR
from tests.support.held_files import Listener
from tests.support.svm import RawGuest, StreamEnded, chunk, digest_of, end_of, until
from tests.support.svm_process import SvmProcess, svm_process

NOT_DETECTED = verdict_pb2.OUTCOME_NOT_DETECTED


async def scan_all(guest: RawGuest, contents: list[bytes]) -> list[int]:
    """Ask about contents and send what is wanted; their final outcomes."""
    reply = await guest.ask(*map(digest_of, contents))
    leases = {detail.index: detail.lease for detail in reply.details if detail.lease}
    outcomes = list(reply.outcomes)
    for index, lease in leases.items():
        outcomes[index] = (await guest.send(lease, contents[index])).outcome
    return [int(outcome) for outcome in outcomes]


async def committed(svm: SvmProcess, entries: int) -> None:
    """Return when the cache's file holds so many verdicts, as another process reads it."""
    state = svm.directory / "state"
    await until(lambda: read_stats(state).entries >= entries, f"{entries} verdicts are committed")


async def test_kill_keeps_what_was_committed_and_nothing_unearned(tmp_path: Path) -> None:
    """After kill -9 the next SVM answers what was committed, asks for the rest, and starts clean."""
    contents = [b"one", b"two", EICAR]
    unfinished = b"x" * 1000
    with svm_process(tmp_path) as svm:
        async with RawGuest.connect(svm) as guest:
            assert await scan_all(guest, contents) == [NOT_DETECTED, NOT_DETECTED, 1]
            await committed(svm, 3)
            reply = await guest.ask(digest_of(unfinished))
            call = guest.stub.Scan(metadata=guest.metadata)
            header = guest.header(reply.details[0].lease, unfinished)
            await call.write(guest_pb2.ScanRequest(parts=[header, chunk(unfinished[:500])]))
            svm.signal(signal.SIGKILL)
            assert svm.wait() == -signal.SIGKILL
    with svm_process(tmp_path) as svm:
        async with RawGuest.connect(svm) as guest:
            reply = await guest.ask(*map(digest_of, [*contents, unfinished]))
            assert list(reply.outcomes) == [NOT_DETECTED, NOT_DETECTED, 1, verdict_pb2.OUTCOME_CONTENT_NEEDED]


async def test_stopping_answers_what_was_accepted(tmp_path: Path) -> None:
    """SIGTERM ends the process with 0; content that had come whole is still answered."""
    with svm_process(tmp_path) as svm:
        async with RawGuest.connect(svm) as guest:
            reply = await guest.ask(digest_of(EICAR), digest_of(b"never sent"))
            await guest.upload(guest.parts_of(reply.details[0].lease, EICAR))
            svm.signal(signal.SIGTERM)
            settled = [await guest.answer(reply.request_id, index) for index in (0, 1)]
            assert [entry.outcome for entry in settled] == [1, verdict_pb2.OUTCOME_OVERLOADED]
            assert guest.attach is not None
            assert (await end_of(guest.attach)).status is grpc.StatusCode.UNAVAILABLE
        assert await asyncio.to_thread(svm.wait) == 0
        assert '"stopped"' in svm.log


async def test_hang_up_loads_new_signatures_without_a_gap(tmp_path: Path) -> None:
    """SIGHUP moves the generation; guests are told, and are answered all the while."""
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "ours.hsb").write_text("")
    with svm_process(tmp_path, hashlists=lists) as svm:
        async with RawGuest.connect(svm) as guest:
            assert await scan_all(guest, [b"wanted"]) == [NOT_DETECTED]
            (lists / "ours.hsb").write_text(f"{digest_of(b'wanted').hex()}:6:Ours.Wanted\n")
            svm.signal(signal.SIGHUP)
            assert guest.attach is not None
            message = await asyncio.wait_for(guest.attach.read(), 30)
            assert isinstance(message, guest_pb2.AttachReply)
            assert message.generation.generation != guest.generation
            assert await scan_all(guest, [b"wanted"]) == [verdict_pb2.OUTCOME_MALICIOUS]


async def test_a_second_svm_on_the_same_socket_is_refused(tmp_path: Path) -> None:
    """It ends with one line that says what to do, and the first serves on."""
    with svm_process(tmp_path) as svm:
        with pytest.raises(RuntimeError, match="another svm"), svm_process(tmp_path):
            pass
        async with RawGuest.connect(svm) as guest:
            assert await scan_all(guest, [b"one"]) == [NOT_DETECTED]


async def test_a_caller_without_a_ticket_is_told_how_to_get_one(tmp_path: Path) -> None:
    """The real process checks who calls."""
    with svm_process(tmp_path) as svm:
        async with RawGuest.connect(svm, attach=False) as guest:
            guest.metadata = ()
            with pytest.raises(StreamEnded, match="companion socket"):
                await guest.ask(digest_of(b"x"))


async def test_what_a_guest_was_told_is_kept_survives_kill(tmp_path: Path) -> None:
    """EventsKept is a promise: after kill -9 the events are there, and what is sent again is kept once."""
    journal = b"j" * 16
    sent = [GuestEvent(number, EventKind.ACTION, 5.0, path=b"/tmp/x", action="blocked") for number in (1, 2)]
    with svm_process(tmp_path) as svm:
        heard = Listener()
        async with await SvmLink.open(svm.target, HelloLabels("test"), 30.0, heard) as link:
            await link.send_events(journal, sent)
            await until(lambda: heard.kept == [(journal, 2)], "it is told that they are kept")
            svm.signal(signal.SIGKILL)
            svm.wait()
    with svm_process(tmp_path) as svm:
        heard = Listener()
        async with await SvmLink.open(svm.target, HelloLabels("test"), 30.0, heard) as link:
            await link.send_events(journal, [*sent, replace(sent[0], number=3)])
            await until(lambda: heard.kept == [(journal, 3)], "it is told again")
        socket = tmp_path / "admin.sock"
        ran = await asyncio.to_thread(
            commands.svm, "events", "--kind", "action", "--json", "--socket", socket
        )
        assert [event["said"]["number"] for event in ran.json] == [1, 2, 3]
        assert {event["said"]["path"] for event in ran.json} == {"/tmp/x"}
