"""The Protection service."""

from pathlib import Path

import grpc
import pytest

from tests.support.svm import RawGuest, StreamEnded, digest_of, end_of, running_svm


async def test_a_guest_has_one_check_stream(tmp_path: Path) -> None:
    """A second Check stream is refused while the first is open, and allowed after."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as guest:
        await guest.ask(digest_of(b"x"))
        first, guest.check = guest.check, None
        with pytest.raises(StreamEnded) as ended:
            await guest.ask(digest_of(b"x"))
        assert ended.value.status is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert first is not None
        await first.done_writing()
        assert (await end_of(first)).status is grpc.StatusCode.OK
        guest.check = None
        assert len((await guest.ask(digest_of(b"x"))).outcomes) == 1


async def test_streams_end_with_the_session(tmp_path: Path) -> None:
    """Detaching cuts Check, so that a guest cannot gather streams by attaching again and again."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as guest:
        await guest.ask(digest_of(b"x"))
        assert guest.attach is not None
        assert guest.check is not None
        await guest.attach.done_writing()
        assert (await end_of(guest.check)).status is not grpc.StatusCode.OK


async def test_a_guest_cannot_make_another_fail(tmp_path: Path) -> None:
    """While one guest breaks every rule in turn, another's questions are answered as ever."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as good:
        for number in range(20):
            content = bytes([number])
            async with RawGuest.connect(svm) as bad:
                with pytest.raises(StreamEnded):
                    await bad.ask(b"short")
                reply = await good.ask(digest_of(content))
                await good.send(reply.details[0].lease, content)
                assert (await good.answer(reply.request_id)).outcome
        assert svm.parts.sessions.counts["breaches"] == 20
