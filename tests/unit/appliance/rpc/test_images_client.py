"""The host agent's end, with a real SVM at the other."""

from pathlib import Path

import pytest
from lightagent.v1 import images_pb2

from appliance.domain.outcome import Disposition, Unanswered
from appliance.rpc.admin_line import AdminError, SocketLine
from appliance.rpc.images_client import ImageClient, ImageContent, first_of
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
    """And nothing is stored."""
    contents = Contents([b"true", b"gone"], [b"lie!", b""])

    def content(index: int) -> ImageContent | None:
        return contents(0) if index == 0 else None

    async with image_svm(tmp_path) as svm, svm.client() as client:
        answers = await client.check(contents.digests, content)
        assert [answer.outcome for answer in answers] == [int(Unanswered.CHANGED)] * 2
        whole = Contents(contents.data)
        again = await client.check(whole.digests, whole)
        assert [answer.outcome for answer in again] == [int(Disposition.NOT_DETECTED)] * 2


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
