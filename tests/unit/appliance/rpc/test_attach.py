"""The Attach stream."""

import asyncio
from pathlib import Path

import grpc
import pytest
from lightagent.v1 import guest_pb2

from appliance.config_limits import Limits
from appliance.domain.override import Override
from tests.support.svm import DEADLINE, RawGuest, digest_of, end_of, running_svm, until

HELLO = guest_pb2.AttachRequest(hello=guest_pb2.Hello(host_name="raw"))
HEARTBEAT = guest_pb2.AttachRequest(heartbeat=guest_pb2.Heartbeat())


async def test_hello_is_answered_with_policy_and_generation(tmp_path: Path) -> None:
    """The guest learns its limits first, then the generation."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm, attach=False) as guest:
        call = guest.stub.Attach(metadata=guest.metadata)
        await call.write(HELLO)
        policy, generation = await call.read(), await call.read()
        assert policy.policy.max_batch == 1024
        assert policy.policy.max_file_bytes == 256 << 20
        assert generation.generation.generation == svm.parts.scanner.generation


async def test_a_session_lives_as_long_as_its_stream(tmp_path: Path) -> None:
    """The guest is listed while attached, under its connection's name, and gone after."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as guest:
        (session,) = svm.parts.sessions.all()
        assert session.guest.id.startswith("uid-")
        assert session.labels.host_name == "raw"
        assert guest.attach is not None
        await guest.attach.done_writing()
        assert (await end_of(guest.attach)).status is grpc.StatusCode.OK
        assert svm.parts.sessions.all() == []


@pytest.mark.parametrize("messages", [[HEARTBEAT], [HELLO, HELLO], [guest_pb2.AttachRequest()]])
async def test_messages_out_of_order_end_the_stream(
    tmp_path: Path, messages: list[guest_pb2.AttachRequest]
) -> None:
    """Hello comes first and once; anything else is INVALID_ARGUMENT."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm, attach=False) as guest:
        call = guest.stub.Attach(metadata=guest.metadata)
        for message in messages:
            await call.write(message)
        assert (await end_of(call)).status is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_second_attach_replaces_the_first(tmp_path: Path) -> None:
    """One guest has one Attach; the older one ends with ABORTED."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as guest:
        first = guest.attach
        await guest.say_hello()
        assert first is not None
        assert (await end_of(first)).status is grpc.StatusCode.ABORTED
        assert len(svm.parts.sessions.all()) == 1


async def test_a_silent_guest_is_detached(tmp_path: Path) -> None:
    """Without heartbeats the session ends with DEADLINE_EXCEEDED."""
    async with running_svm(tmp_path, Limits(heartbeat_seconds=1)) as svm, RawGuest.connect(svm) as guest:
        assert guest.attach is not None
        ended = await end_of(guest.attach)
        assert ended.status is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "heartbeat" in ended.sentence


async def test_more_guests_than_allowed_are_refused(tmp_path: Path) -> None:
    """Over limits.max_guests an Attach ends with RESOURCE_EXHAUSTED and says which limit."""
    async with (
        running_svm(tmp_path, Limits(max_guests=1)) as svm,
        RawGuest.connect(svm),
        RawGuest.connect(svm, attach=False) as second,
    ):
        call = second.stub.Attach(metadata=second.metadata)
        await call.write(HELLO)
        ended = await end_of(call)
        assert ended.status is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "limits.max_guests" in ended.sentence


async def test_overruled_digests_are_revoked_before_the_generation_is_told(tmp_path: Path) -> None:
    """A guest that knows the generation knows which of its answers administrators have overruled."""
    digest = digest_of(b"x")
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm, attach=False) as guest:
        svm.parts.protection.override(digest, Override(False, "bad", "me", 1))
        call = guest.stub.Attach(metadata=guest.metadata)
        await call.write(HELLO)
        kinds = [(await call.read()).WhichOneof("message") for _ in range(3)]
        assert kinds == ["policy", "revocation", "generation"]


async def test_an_attached_guest_is_told_what_is_overruled(tmp_path: Path) -> None:
    """A revocation reaches a guest that is attached already."""
    digest = digest_of(b"x")
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as guest:
        svm.parts.sessions.tell_revoked(digest)
        assert guest.attach is not None
        message = await asyncio.wait_for(guest.attach.read(), DEADLINE)
        assert isinstance(message, guest_pb2.AttachReply)
        assert list(message.revocation.sha256) == [digest]


JOURNAL = b"j" * 16


def events(*numbers: int, journal: bytes = JOURNAL) -> guest_pb2.AttachRequest:
    """A batch of a guest's events."""
    said = [
        guest_pb2.GuestEvent(number=number, kind=guest_pb2.GUEST_EVENT_KIND_ACTION, path=b"/tmp/x")
        for number in numbers
    ]
    return guest_pb2.AttachRequest(events=guest_pb2.GuestEvents(journal=journal, events=said))


async def told_kept(guest: RawGuest) -> tuple[bytes, int]:
    """What the SVM says next of the guest's events."""
    assert guest.attach is not None
    message = await asyncio.wait_for(guest.attach.read(), DEADLINE)
    assert isinstance(message, guest_pb2.AttachReply)
    assert message.WhichOneof("message") == "events_kept"
    return message.events_kept.journal, message.events_kept.up_to


async def test_a_guest_hears_that_its_events_are_kept(tmp_path: Path) -> None:
    """Up to which number; by then they are in the file, with the guest's name."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as guest:
        assert guest.attach is not None
        await guest.attach.write(events(1, 2, 5))
        assert await told_kept(guest) == (JOURNAL, 5)
        (session,) = svm.parts.sessions.all()
        kept = [event for _, event in svm.parts.witness.log.store.from_number(1, 100) if event.said]
        assert [(event.guest, event.said.number) for event in kept if event.said] == [
            (session.guest.id, number) for number in (1, 2, 5)
        ]


async def test_attaching_anew_does_not_reset_a_bound(tmp_path: Path) -> None:
    """A guest that sends its second's events, goes and comes back waits with more as if it had stayed."""
    async with running_svm(tmp_path, Limits(events_per_second=10)) as svm, RawGuest.connect(svm) as guest:
        sessions = svm.parts.sessions
        for first in (1, 101):
            assert guest.attach is not None
            await guest.attach.write(events(*range(first, first + 10)))
            await told_kept(guest)
            slowed = sessions.counts["slowed"]
            await guest.attach.done_writing()
            await end_of(guest.attach)
            await until(lambda: not sessions.all(), "the guest is gone")
            await guest.say_hello()
        assert slowed > 0


async def test_heartbeats_are_heard_while_events_are_kept(tmp_path: Path) -> None:
    """A batch that waits for the disk does not make a guest look silent."""
    async with running_svm(tmp_path, Limits(heartbeat_seconds=1)) as svm, RawGuest.connect(svm) as guest:
        assert guest.attach is not None
        await guest.attach.write(events(1))
        for _ in range(6):
            await guest.attach.write(HEARTBEAT)
            await asyncio.sleep(0.4)
        assert len(svm.parts.sessions.all()) == 1


async def test_events_that_come_too_fast_slow_the_guest(tmp_path: Path) -> None:
    """It is counted, and all of them are kept."""
    async with (
        running_svm(tmp_path, Limits(events_per_second=10)) as svm,
        RawGuest.connect(svm) as guest,
    ):
        assert guest.attach is not None
        for number in (1, 11, 21):
            await guest.attach.write(events(*range(number, number + 8)))
        while (await told_kept(guest))[1] < 28:
            pass
        assert svm.parts.sessions.counts["slowed"] > 0
        assert svm.parts.sessions.counts["breaches"] == 0


async def test_a_batch_that_breaks_a_rule_ends_the_stream(tmp_path: Path) -> None:
    """With INVALID_ARGUMENT, and is counted as a breach."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as guest:
        assert guest.attach is not None
        await guest.attach.write(events(1, journal=b"short"))
        ended = await end_of(guest.attach)
        assert ended.status is grpc.StatusCode.INVALID_ARGUMENT
        assert "journal" in ended.sentence
        assert svm.parts.sessions.counts["breaches"] == 1
