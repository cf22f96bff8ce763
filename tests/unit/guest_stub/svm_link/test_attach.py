"""Tests of attaching."""

from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from lightagent.v1 import guest_pb2

from guest_stub.svm_link import pace
from guest_stub.svm_link.attach import BadPolicy, event_message, read_policy
from guest_stub.svm_link.link import SvmLink, SvmUnreachable
from guest_stub.svm_link.values import EventKind, GuestEvent, HelloLabels, LinkPolicy
from tests.support.guest_side_server import Behaviour, serving
from tests.support.held_files import LABELS, Listener, attached, batch_of, ends, until

GENERATION = guest_pb2.AttachReply(generation=guest_pb2.GenerationChange(generation=1))
POLICY = guest_pb2.AttachReply(policy=Behaviour().policy)


async def test_attaching_gives_policy_and_generation(tmp_path: Path) -> None:
    """The stub says who it is, and has the SVM's policy and generation when it is attached."""
    async with attached(tmp_path) as (link, server):
        assert link.policy == LinkPolicy(64 << 20, 1024, 256 << 10, 30.0)
        assert link.generation == 7
        [hello] = server.hellos
        assert (hello.stub_version, hello.os) == (LABELS.stub_version, LABELS.os)
        assert (hello.boot_id, hello.host_name) == (LABELS.boot_id, LABELS.host_name)


async def test_labels_are_cut_to_what_the_wire_takes(tmp_path: Path) -> None:
    """A label of more than 256 bytes is cut between characters; one that is no Unicode is mended."""
    async with serving(tmp_path / "svm.sock") as server:
        labels = HelloLabels("v", os="é" * 200, host_name="a\udcff")
        async with await SvmLink.open(server.target, labels, 30.0):
            assert server.hellos[0].os == "é" * 128
            assert server.hellos[0].host_name == "a?"


async def test_what_the_svm_says_unasked_reaches_the_listener(tmp_path: Path) -> None:
    """A new generation, a new policy and revocations are taken as they come."""
    listener = Listener()
    async with attached(tmp_path, listener=listener) as (link, server):
        await server.tell(
            guest_pb2.AttachReply(policy=guest_pb2.Policy(max_batch=5, max_chunk_bytes=9)),
            guest_pb2.AttachReply(revocation=guest_pb2.Revocation(sha256=[b"r" * 32])),
            guest_pb2.AttachReply(),  # a kind that a later SVM may know
            guest_pb2.AttachReply(generation=guest_pb2.GenerationChange(generation=8)),
        )
        await until(lambda: bool(listener.generations))
        assert (listener.generations, listener.digests) == ([8], [b"r" * 32])
        assert (link.generation, link.policy.max_batch) == (8, 5)
    assert listener.why == []


async def test_what_was_revoked_meanwhile_is_told_before_the_generation(tmp_path: Path) -> None:
    """An SVM whose administrator overruled something says so to each guest that attaches."""
    digests = [b"a" * 32, b"b" * 32]
    told = [guest_pb2.AttachReply(revocation=guest_pb2.Revocation(sha256=[digest])) for digest in digests]
    behaviour = Behaviour(attach_replies=[POLICY, *told, GENERATION])
    listener = Listener()
    async with serving(tmp_path / "svm.sock", behaviour) as server:
        link = await SvmLink.open(server.target, LABELS, 30.0, listener)
        assert (link.generation, listener.digests) == (1, digests)
        await link.close()


def event(number: int = 1, **fields: object) -> GuestEvent:
    """An event of the stub's."""
    return GuestEvent(number, EventKind.ACTION, 5.5, **fields)  # type: ignore[arg-type]


async def test_events_are_sent_and_heard_to_be_kept(tmp_path: Path) -> None:
    """As a batch of the journal; what the SVM says of it reaches the listener."""
    listener, journal = Listener(), b"j" * 16
    async with attached(tmp_path, listener=listener) as (link, server):
        await link.send_events(journal, [event(1, path=b"/\xff", action="blocked"), event(2)])
        await until(lambda: bool(server.events))
        [said] = server.events
        assert (said.journal, [each.number for each in said.events]) == (journal, [1, 2])
        assert (said.events[0].path, said.events[0].action) == (b"/\xff", "blocked")
        assert said.events[0].at.ToNanoseconds() == 5_500_000_000
        kept = guest_pb2.EventsKept(journal=journal, up_to=2)
        await server.tell(guest_pb2.AttachReply(events_kept=kept))
        await until(lambda: bool(listener.kept))
        assert listener.kept == [(journal, 2)]


async def test_words_of_an_event_are_cut_to_what_the_wire_takes(tmp_path: Path) -> None:
    """Nothing of an event keeps it from being sent."""
    message = event_message(event(path=b"p" * 9999, process="\udcff" + "x" * 999, text="é" * 999))
    assert (len(message.path), message.process[:2], len(message.process)) == (4096, "?x", 256)
    assert len(message.text.encode()) == 512


@pytest.mark.parametrize(
    ("journal", "events"),
    [
        (b"short", [event()]),
        (b"j" * 16, []),
        (b"j" * 16, [event(number + 1) for number in range(257)]),
        (b"j" * 16, [event(number + 1, path=b"p" * 4096) for number in range(100)]),
    ],
)
async def test_a_batch_that_no_svm_takes_is_not_sent(
    tmp_path: Path, journal: bytes, events: list[GuestEvent]
) -> None:
    """The mistake is the caller's."""
    async with attached(tmp_path) as (link, server):
        with pytest.raises(ValueError, match="give"):
            await link.send_events(journal, events)
        assert server.events == []


async def test_events_for_an_svm_that_is_gone_are_not_sent(tmp_path: Path) -> None:
    """Nothing is raised: the loss of the SVM is told elsewhere."""
    async with attached(tmp_path) as (link, server):
        server.end_attach()
        await link.lost.wait()
        await link.send_events(b"j" * 16, [event()])
        assert server.events == []


async def test_heartbeats_come_in_time(tmp_path: Path) -> None:
    """An SVM that wants one every second gets them."""
    behaviour = Behaviour()
    behaviour.policy.heartbeat.FromMilliseconds(1000)
    async with attached(tmp_path, behaviour) as (link, server):
        await until(lambda: server.heartbeats >= 3)
        assert link.policy.heartbeat_seconds == 1.0
        assert not link.lost.is_set()


@pytest.mark.parametrize("replies", [[], [GENERATION], [POLICY], [POLICY, POLICY], [guest_pb2.AttachReply()]])
async def test_a_greeting_in_another_order_is_refused(
    tmp_path: Path, replies: list[guest_pb2.AttachReply]
) -> None:
    """What does not begin with policy and generation is no SVM that the stub understands."""
    behaviour = Behaviour(attach_replies=replies, hang_up_after_greeting=True)
    async with serving(tmp_path / "svm.sock", behaviour) as server:
        with pytest.raises(SvmUnreachable, match="not an SVM that this stub understands"):
            await SvmLink.open(server.target, LABELS, 30.0)


@pytest.mark.parametrize(("batch", "chunk"), [(0, 1), (1, 0)])
def test_a_policy_that_lets_nothing_through_is_refused(batch: int, chunk: int) -> None:
    """Zero digests a batch or zero bytes a chunk make no sense."""
    with pytest.raises(BadPolicy, match="digests a batch"):
        read_policy(guest_pb2.Policy(max_batch=batch, max_chunk_bytes=chunk))


def test_a_policy_is_held_to_the_stubs_own_bounds() -> None:
    """No SVM makes the stub build messages over 1 MiB, or beat without a pause."""
    policy = read_policy(guest_pb2.Policy(max_batch=1 << 31, max_chunk_bytes=1 << 31, heartbeat=Duration()))
    assert policy == LinkPolicy(0, 16384, 768 << 10, 30.0)


@pytest.mark.parametrize(
    ("asked", "kept"),
    [(Duration(nanos=1), 1.0), (Duration(seconds=45), 45.0), (Duration(seconds=1 << 37), 300.0)],
)
def test_no_svm_makes_the_stub_beat_without_a_pause(asked: Duration, kept: float) -> None:
    """Nor once in a thousand years: then an SVM would be gone and nobody would notice."""
    policy = read_policy(guest_pb2.Policy(max_batch=1, max_chunk_bytes=1, heartbeat=asked))
    assert policy.heartbeat_seconds == kept


@pytest.mark.parametrize(
    ("digests", "sentence"),
    [([bytes(32)] * 1025, "1025 digests: 1024 at most"), ([bytes(32), b""], "a digest of 0 bytes: it is 32")],
)
async def test_a_revocation_that_breaks_the_wire_ends_the_link(
    tmp_path: Path, digests: list[bytes], sentence: str
) -> None:
    """Nothing of it is taken; the reason says what was wrong."""
    listener = Listener()
    async with attached(tmp_path, listener=listener) as (link, server):
        await server.tell(guest_pb2.AttachReply(revocation=guest_pb2.Revocation(sha256=digests)))
        await until(link.lost.is_set)
        assert sentence in link.why_lost
        assert listener.digests == []


async def test_an_svm_that_revokes_too_much_at_once_is_not_attached_to(tmp_path: Path) -> None:
    """Where it does so in its greeting."""
    said = guest_pb2.AttachReply(revocation=guest_pb2.Revocation(sha256=[b"short"]))
    async with serving(tmp_path / "svm.sock", Behaviour(attach_replies=[POLICY, said])) as server:
        with pytest.raises(SvmUnreachable, match="a digest of 5 bytes"):
            await SvmLink.open(server.target, LABELS, 30.0)


async def test_what_is_said_too_fast_is_not_taken_for_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits in the connection until it is due."""
    monkeypatch.setattr(pace, "MOST_AT_ONCE", 5.0)  # of which the greeting takes two
    monkeypatch.setattr(pace, "PER_SECOND", 0.001)
    listener = Listener()
    async with attached(tmp_path, listener=listener) as (link, server):
        for number in range(10):
            change = guest_pb2.GenerationChange(generation=number + 100)
            await server.tell(guest_pb2.AttachReply(generation=change))
        await until(lambda: len(listener.generations) >= 3)
        await ends(await link.check(batch_of(1)))
        assert listener.generations == [100, 101, 102]
