"""The host agent's end, with a real SVM at the other."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from lightagent.v1 import images_pb2

from appliance.domain.outcome import Disposition, Unanswered
from appliance.rpc.admin_line import AdminError, SocketLine
from appliance.rpc.images_client import ContentGone, ImageClient, ImageContent, first_of
from tests.support.contents import EICAR
from tests.support.images import Contents, image_svm


async def test_content_is_sent_once_and_then_known(tmp_path: Path) -> None:
    """Empty, small and large; the answers are in the order of the questions."""
    contents = Contents([b"", EICAR, b"x" * 2_000_000, b"small"])
    async with image_svm(tmp_path) as svm, svm.client() as client:
        answers = await client.check(contents.digests, contents)
        nothing = int(Disposition.NOT_DETECTED)
        assert [answer.outcome for answer in answers] == [
            nothing,
            int(Disposition.MALICIOUS),
            nothing,
            nothing,
        ]
        assert "EICAR" in answers[1].threat.upper()
        assert (client.sent, client.sent_bytes) == (4, 2_000_000 + 5 + len(EICAR))
        assert await client.check(contents.digests, contents) == answers
        assert sorted(contents.sent) == [0, 1, 2, 3] or sorted(contents.sent) == [1, 2, 3]
        await client.done(images_pb2.ImageSummary(complete=True))


async def test_what_is_not_the_digest_or_is_gone_is_no_verdict(tmp_path: Path) -> None:
    """It is told why, in words of this end where it knows better; and nothing is stored."""
    contents = Contents(
        [b"true", b"gone", b"short", b"long", b"ends"], [b"lie!", b"", b"sho", b"longer", b""]
    )

    async def breaking() -> AsyncIterator[bytes]:
        yield b"en"
        raise ContentGone("the server of the disk has gone")

    def content(index: int) -> ImageContent | None:
        told = contents(index)
        if index == 4:
            return replace(told, size=4, chunks=breaking)
        return None if index == 1 else replace(told, size=len(contents.data[index]))

    async with image_svm(tmp_path) as svm, svm.client() as client:
        answers = await client.check(contents.digests, content)
        assert [answer.outcome for answer in answers] == [int(Unanswered.CHANGED)] * 5
        assert [answer.reason for answer in answers] == [
            "the content is not the digest's: the file changed, look at it again",
            "it is not there any more",
            "its bytes are not those that its digest was made of: scan it again",
            "its bytes are not those that its digest was made of: scan it again",
            "it could not be read once more, to be sent: the server of the disk has gone",
        ]
        whole = Contents(contents.data)
        again = await client.check(whole.digests, whole)
        assert [answer.outcome for answer in again] == [int(Disposition.NOT_DETECTED)] * 5


async def test_a_content_that_is_too_large_is_not_sent(tmp_path: Path) -> None:
    """The SVM says so, and takes the next."""
    contents = Contents([b"large", b"small"])

    def content(index: int) -> ImageContent:
        told = contents(index)
        return told if index else ImageContent(told.sha256, 1 << 40, told.name, told.chunks)

    async with image_svm(tmp_path) as svm, svm.client() as client:
        answers = await client.check(contents.digests, content)
        assert [answer.outcome for answer in answers] == [
            int(Unanswered.TOO_LARGE),
            int(Disposition.NOT_DETECTED),
        ]
        assert contents.sent == [1]


async def test_no_svm_is_a_sentence(tmp_path: Path) -> None:
    """Before anything is read."""
    with pytest.raises(AdminError, match="no SVM answers on"):
        async with ImageClient(SocketLine(str(tmp_path / "none")), images_pb2.ImageScan(image="x")):
            pass


def test_the_first_error_of_many_counts() -> None:
    """However deep it lies."""
    error = ValueError("x")
    assert first_of(BaseExceptionGroup("a", [ExceptionGroup("b", [error])])) is error
