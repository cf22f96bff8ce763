"""The host agent's end of ImageAdministration: asks about digests in batches, sends what the SVM asks for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, cast

import grpc
from google.protobuf.duration_pb2 import Duration
from lightagent.v1 import guest_pb2, images_pb2, images_pb2_grpc, verdict_pb2

from appliance.domain.outcome import Open, Unanswered
from appliance.rpc.admin_client import CALL_SECONDS, why_failed
from appliance.rpc.admin_line import AdminError, AdminLine

BUDGET_SECONDS: Final = 600
WRITE_SECONDS: Final = 120.0  # an SVM that takes nothing for so long is not waited for any more
_OPEN: Final = (int(Open.CONTENT_NEEDED), int(Open.PENDING))
_MOST_PARTS: Final = 512


@dataclass(frozen=True, slots=True)
class ImageTerms:
    """What the SVM grants. max_file_bytes: of a content that it takes."""

    max_file_bytes: int
    max_batch: int
    max_chunk_bytes: int


@dataclass(frozen=True, slots=True)
class ImageAnswer:
    """What is known of a digest: the wire's Outcome, and what stands beside it."""

    outcome: int
    threat: str = ""
    member: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ImageContent:
    """A content that is sent. name: the last part of its path. chunks: its bytes, as they are read."""

    sha256: bytes
    size: int
    name: bytes
    chunks: Callable[[], AsyncIterator[bytes]]


class ContentGone(Exception):
    """A content that was asked for cannot be read (any more)."""


class _Question:
    """A request that is open: the answers so far, and how many are still to come."""

    def __init__(self, needed: Callable[[int, int], None]) -> None:
        """needed: told the index and the lease of what is to be sent."""
        self.answers: dict[int, ImageAnswer] = {}
        self.unsent: dict[int, str] = {}  # why a content was not sent to its end
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._needed = needed
        self._left = -1

    def take(self, reply: guest_pb2.CheckReply) -> None:
        """Take a reply in."""
        if reply.outcomes:
            details = {detail.index: detail for detail in reply.details}
            self._left = len(reply.outcomes)
            for index, outcome in enumerate(reply.outcomes):
                self._one(index, outcome, details.get(index))
        for entry in reply.settled:
            self._one(entry.index, entry.outcome, entry.detail if entry.HasField("detail") else None)
        if self._left == 0 and not self.done.done():
            self.done.set_result(None)

    def settled(self, index: int) -> ImageAnswer:
        """The answer, with what is known here of why there is no better one."""
        answer = self.answers[index]
        if answer.outcome == Unanswered.CHANGED and index in self.unsent:
            return replace(answer, reason=self.unsent[index])
        return answer

    def _one(self, index: int, outcome: int, detail: verdict_pb2.Detail | None) -> None:
        if outcome in _OPEN:
            if detail is not None and detail.lease:
                self._needed(index, detail.lease)
            return
        if index not in self.answers:
            self._left -= 1
        told = ImageAnswer(outcome) if detail is None else _answer(outcome, detail)
        self.answers[index] = told


def _answer(outcome: int, detail: verdict_pb2.Detail) -> ImageAnswer:
    return ImageAnswer(outcome, detail.threat, detail.member, detail.reason)


class ImageClient:
    """One image that is looked at, for the length of an `async with`. Raises AdminError, here and later."""

    def __init__(self, line: AdminLine, scan: images_pb2.ImageScan) -> None:
        self._line = line
        self._scan = scan
        self._stack = ExitStack()
        self._async_stack = AsyncExitStack()
        self._questions: dict[int, _Question] = {}
        self._number = 0
        self._writing = asyncio.Lock()
        self._sending = asyncio.Lock()
        self._upload: Any = None
        self._failed = ""
        self.sent_bytes = 0
        self.sent = 0

    async def __aenter__(self) -> Self:
        """Begin."""
        try:
            opened = await self._line.open_async(CALL_SECONDS, self._stack)
            self._async_stack.push_async_callback(opened.channel.close, None)
            self._metadata = opened.metadata
            # The stub's types know streams as iterators only; here they are read and written by hand.
            self._stub = cast(Any, images_pb2_grpc.ImageAdministrationStub(opened.channel))
            self._call: Any = self._stub.CheckImage(metadata=opened.metadata)
            await self._write(images_pb2.CheckImageRequest(begin=self._scan))
            self._begun = await self._first()
            self._reader = asyncio.get_running_loop().create_task(self._read())
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up."""
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._close()

    async def _close(self) -> None:
        await self._async_stack.aclose()
        self._stack.close()

    @property
    def terms(self) -> ImageTerms:
        """What the SVM grants."""
        begun = self._begun
        return ImageTerms(begun.max_file_bytes, begun.max_batch, begun.max_chunk_bytes)

    async def check(
        self, digests: Sequence[bytes], content: Callable[[int], ImageContent | None]
    ) -> list[ImageAnswer]:
        """What is known of digests, once all of them are settled. content: by index, None for none."""
        try:
            return await self._checked(digests, content)
        except BaseExceptionGroup as errors:
            raise first_of(errors) from None

    async def _checked(
        self, digests: Sequence[bytes], content: Callable[[int], ImageContent | None]
    ) -> list[ImageAnswer]:
        async with asyncio.TaskGroup() as group:
            question = _Question(
                lambda index, lease: void(
                    group.create_task(self._send(question, index, lease, digests[index], content(index)))
                )
            )
            self._number += 1
            number = self._number
            self._questions[number] = question
            try:
                await self._ask(number, digests)
                await question.done
            finally:
                self._questions.pop(number, None)
        return [question.settled(index) for index in range(len(digests))]

    async def find(self, sha256: bytes, path: bytes) -> None:
        """Tell of a detection, and where it is."""
        await self._write(
            images_pb2.CheckImageRequest(find=images_pb2.ImageFind(sha256=sha256, path=path[:4096]))
        )

    async def done(self, summary: images_pb2.ImageSummary) -> None:
        """Tell what came of it; noted on return."""
        await self._write(images_pb2.CheckImageRequest(done=summary))
        await self._call.done_writing()
        await asyncio.gather(self._reader)
        if self._failed:
            raise AdminError(self._failed)

    async def _ask(self, number: int, digests: Sequence[bytes]) -> None:
        check = guest_pb2.CheckRequest(
            request_id=number,
            purpose=verdict_pb2.PURPOSE_ON_DEMAND,
            sha256=digests,
            budget=Duration(seconds=BUDGET_SECONDS),
        )
        await self._write(images_pb2.CheckImageRequest(check=check))

    async def _write(self, message: images_pb2.CheckImageRequest) -> None:
        if self._failed:
            raise AdminError(self._failed)
        async with self._writing:
            await self._written(self._call, message)

    async def _written(self, call: Any, message: Any) -> None:
        """Write to a call, or raise AdminError with the sentence that ended it."""
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await call.write(message)
        except TimeoutError:
            raise AdminError(
                f"the SVM on {self._line} has taken nothing for {WRITE_SECONDS:g} s: see its log"
            ) from None
        except grpc.aio.AioRpcError as error:
            raise AdminError(why_failed(self._line, error.code(), error.details(), 0.0)) from error
        except asyncio.InvalidStateError as error:
            raise AdminError(await self._why_over(call)) from error

    async def _why_over(self, call: Any) -> str:
        code, details = await call.code(), await call.details()
        if code is grpc.StatusCode.OK:
            return f"the SVM on {self._line} ended the scan of the image: see its log"
        return why_failed(self._line, code, details, 0.0)

    async def _first(self) -> images_pb2.ImageTerms:
        try:
            async with asyncio.timeout(CALL_SECONDS):
                reply = await self._call.read()
        except TimeoutError:
            raise AdminError(f"the SVM on {self._line} did not answer within {CALL_SECONDS:g} s") from None
        except grpc.aio.AioRpcError as error:
            raise AdminError(why_failed(self._line, error.code(), error.details(), 0.0)) from error
        if not isinstance(reply, images_pb2.CheckImageReply) or reply.WhichOneof("message") != "begun":
            raise AdminError(await self._why_over(self._call))
        return reply.begun

    async def _read(self) -> None:
        """Take replies in until the stream ends; then every question that is open has failed."""
        why = ""
        try:
            while isinstance(reply := await self._call.read(), images_pb2.CheckImageReply):
                question = self._questions.get(reply.check.request_id)
                if question is not None:
                    question.take(reply.check)
            if await self._call.code() is not grpc.StatusCode.OK:
                why = await self._why_over(self._call)
        except grpc.aio.AioRpcError as error:
            why = why_failed(self._line, error.code(), error.details(), 0.0)
        self._failed = why
        for question in self._questions.values():
            if not question.done.done():
                question.done.set_exception(AdminError(why or "the SVM ended the scan of the image"))

    # -- contents

    async def _send(
        self, question: _Question, index: int, lease: int, sha256: bytes, content: ImageContent | None
    ) -> None:
        """Send a content under its lease, one after another."""
        async with self._sending:
            if self._upload is None:
                metadata = (*self._metadata, ("session", self._begun.session))
                self._upload = self._stub.ScanContent(metadata=metadata)
            header = guest_pb2.ScanHeader(lease=lease, sha256=sha256)
            try:
                if content is None:
                    header.size = 1
                    question.unsent[index] = "it is not there any more"
                    await self._parts([guest_pb2.ScanPart(header=header), _ABORT])
                else:
                    header.size, header.name = content.size, content.name[:255]
                    await self._whole(header, content, partial(question.unsent.__setitem__, index))
            except (
                AdminError
            ):  # the SVM answers the question itself then, and takes the next on another stream
                self._upload = None

    async def _whole(
        self, header: guest_pb2.ScanHeader, content: ImageContent, unsent: Callable[[str], None]
    ) -> None:
        """unsent: told why a content is given up amid its way."""
        parts = [guest_pb2.ScanPart(header=header)]
        if content.size > self.terms.max_file_bytes:  # which the SVM then says
            await self._parts([*parts, _ABORT])
            return
        left = content.size
        try:
            if left:
                async for data in content.chunks():
                    if len(data) > left:
                        break
                    for start in range(0, len(data), self.terms.max_chunk_bytes):
                        some = data[start : start + self.terms.max_chunk_bytes]
                        left -= len(some)
                        parts.append(guest_pb2.ScanPart(chunk=guest_pb2.ScanChunk(data=some)))
                        await self._parts(parts)
                        parts = []
                    self.sent_bytes += len(data)
            if left:
                unsent("its bytes are not those that its digest was made of: scan it again")
        except ContentGone as error:
            left = max(left, 1)
            unsent(f"it could not be read once more, to be sent: {error}")
        if left:
            await self._parts([*parts, _ABORT])
            return
        if parts:
            await self._parts(parts)
        self.sent += 1

    async def _parts(self, parts: list[guest_pb2.ScanPart]) -> None:
        await self._written(self._upload, guest_pb2.ScanRequest(parts=parts))


_ABORT: Final = guest_pb2.ScanPart(abort=guest_pb2.ScanAbort())


def void(_value: Awaitable[object]) -> None:
    """Drop a value that a callback has no use for: its task group holds the task."""


def first_of(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """One of the errors that tasks ended with."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
