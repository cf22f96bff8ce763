"""What the SVM knows of web addresses: a call each over one connection, for which nobody needs to attach."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import grpc
from grpc import aio
from lightagent.v1.guest_pb2 import CheckUrlReply, CheckUrlRequest

from guest_stub.svm_link.link import connect, unreachable
from guest_stub.svm_link.target import Target
from guest_stub.svm_link.values import UrlAnswer
from guest_stub.svm_link.wire import url_answer

MAX_URL_BYTES = 8192
SLACK_SECONDS = 5.0  # beyond the budget, for the way there and back
_PAUSE_SECONDS = 1.0  # after having asked too fast
_TRIES = 5

_SENTENCES = {
    grpc.StatusCode.UNIMPLEMENTED: "this SVM is older than this guest-stub and says nothing of web "
    "addresses: ask whoever runs it",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "this guest has just asked too often: ask again in a moment",
    grpc.StatusCode.DEADLINE_EXCEEDED: "the SVM has not answered in time: is it stopping?",
}

Told = Callable[[str, UrlAnswer], None]
_Ask = Callable[[CheckUrlRequest], Awaitable[bytes]]


async def ask_urls(target: Target, urls: Sequence[str], seconds: float, told: Told) -> None:
    """Ask about each, in order, giving the SVM `seconds` for one; each answer is told as it comes.

    Raises SvmUnreachable where no answer comes.
    """
    with unreachable(target, seconds, _SENTENCES):
        async with asyncio.timeout(seconds + SLACK_SECONDS):
            connection = await connect(target)
        try:
            method = connection.unary("CheckUrl")

            async def ask(request: CheckUrlRequest) -> bytes:
                return await method(
                    request.SerializeToString(), metadata=connection.metadata, timeout=seconds + SLACK_SECONDS
                )

            for url in urls:
                told(url, await _answer(url, seconds, ask))
        finally:
            await connection.close()


async def _answer(url: str, seconds: float, ask: _Ask) -> UrlAnswer:
    """The SVM's word on one; who has asked too fast waits a moment."""
    size = len(url.encode(errors="surrogatepass"))
    if any("\ud800" <= letter <= "\udfff" for letter in url) or not 0 < size <= MAX_URL_BYTES:
        return UrlAnswer("no url", reason=f"give 1 to {MAX_URL_BYTES} bytes of UTF-8")
    request = CheckUrlRequest(url=url)
    request.budget.FromNanoseconds(int(seconds * 1e9))
    for _ in range(_TRIES - 1):
        try:
            return url_answer(CheckUrlReply.FromString(await ask(request)))
        except aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
            await asyncio.sleep(_PAUSE_SECONDS)
    return url_answer(CheckUrlReply.FromString(await ask(request)))
