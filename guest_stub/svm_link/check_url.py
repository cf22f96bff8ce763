"""What the SVM knows of web addresses: a call each over one connection, for which nobody needs to attach."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import grpc
from google.protobuf.message import DecodeError
from grpc import aio
from lightagent.v1.guest_pb2 import DESCRIPTOR, CheckUrlReply, CheckUrlRequest

from guest_stub.svm_link.link import SvmUnreachable, connect
from guest_stub.svm_link.ticket import NoTicket
from guest_stub.svm_link.values import UrlAnswer
from guest_stub.svm_link.wire import url_answer

CHECK_URL_METHOD = f"/{DESCRIPTOR.services_by_name['Protection'].full_name}/CheckUrl"
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


async def ask_urls(target: str, urls: Sequence[str], seconds: float, told: Told) -> None:
    """Ask about each, in order, giving the SVM `seconds` for one; each answer is told as it comes.

    target: "unix:/path/of/socket" or "tcp:host:port". Raises SvmUnreachable where no answer comes.
    """
    try:
        async with asyncio.timeout(seconds + SLACK_SECONDS):
            connection = await connect(target)
        try:
            # The generated call would log what it cannot read, traceback and all.
            method = connection.channel.unary_unary(
                CHECK_URL_METHOD, request_serializer=None, response_deserializer=None
            )

            async def ask(request: CheckUrlRequest) -> bytes:
                call = method(
                    request.SerializeToString(), metadata=connection.metadata, timeout=seconds + SLACK_SECONDS
                )
                return bytes(await call)

            for url in urls:
                told(url, await _answer(url, seconds, ask))
        finally:
            await connection.close()
    except TimeoutError as error:
        raise SvmUnreachable(f"{target}: no SVM has answered within {seconds:g} s: is it running?") from error
    except NoTicket as error:
        raise SvmUnreachable(f"{target}: {error}") from error
    except DecodeError as error:
        raise SvmUnreachable(
            f"{target}: what answers is not an SVM that this guest-stub understands"
        ) from error
    except aio.AioRpcError as error:
        why = f"the SVM does not say: {error.code().name}: {error.details() or 'no reason given'}"
        raise SvmUnreachable(f"{target}: {_SENTENCES.get(error.code(), why)}") from error


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
