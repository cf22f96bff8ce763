"""The Scan streams: content that the SVM asked for. What it says of the content comes on Check.

Two lanes with a stream each, so that a large file does not hold up the small ones: what fits into
one message goes the first way, all else the second. Each lane holds one message's data, whatever waits,
and reads in a thread of its own what may have to be waited for. When a stream breaks, what it had
taken and nobody has answered yet is sent again on another.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc import aio
from lightagent.v1.guest_pb2 import ScanReply

from guest_stub.outcome import Outcome
from guest_stub.svm_link.ending import Ending
from guest_stub.svm_link.packing import Packed, Packer
from guest_stub.svm_link.question import Upload
from guest_stub.svm_link.values import LinkAnswer, LinkPolicy

WRITE_SECONDS = 60.0  # an SVM that takes no byte for so long is not waited for any more
_MAX_FILES = 512  # in one message: with names of 255 bytes their headers take less than 180 KiB
_MAX_SENDS = 3  # of one upload, on streams that break
_MANY_SENT = 64  # uploads that are remembered, with all that they hold, before the answered are sorted out

Call = aio.StreamUnaryCall[bytes, ScanReply]  # takes messages that are serialized

_ENDS = {
    grpc.StatusCode.RESOURCE_EXHAUSTED: Outcome.OVERLOADED,
    grpc.StatusCode.DEADLINE_EXCEEDED: Outcome.TIMED_OUT,
}


class Uploader:
    """Sends content; each upload ends with its question.

    open_call: begins a Scan call. policy: the one in force.
    """

    def __init__(self, open_call: Callable[[], Call], policy: Callable[[], LinkPolicy]) -> None:
        self._policy = policy
        self._small = _Lane(open_call, policy)
        self._large = _Lane(open_call, policy)

    def send(self, uploads: Sequence[Upload]) -> None:
        """Queue uploads. The queues are bounded by the digests that may be open on Check."""
        most = self._policy().max_chunk_bytes
        self._small.put([upload for upload in uploads if upload.content.size <= most])
        self._large.put([upload for upload in uploads if upload.content.size > most])

    async def run(self) -> None:
        """Send what is queued, for the life of the link."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._small.run())
            group.create_task(self._large.run())


class _Lane:
    """One Scan stream at a time, opened when there is something to send."""

    def __init__(self, open_call: Callable[[], Call], policy: Callable[[], LinkPolicy]) -> None:
        self._open_call = open_call
        self._policy = policy
        self._packer = Packer()
        self._queue: deque[Upload] = deque()
        self._wake = asyncio.Event()
        self._stream: _Stream | None = None

    def put(self, uploads: Sequence[Upload]) -> None:
        """Queue uploads."""
        if uploads:
            self._queue.extend(uploads)
            self._wake.set()

    async def run(self) -> None:
        """Send what is queued, until cancelled."""
        loop = asyncio.get_running_loop()
        thread = ThreadPoolExecutor(1, thread_name_prefix="upload")
        try:
            while True:
                if self._stream is not None and self._stream.ended is not None:
                    await loop.run_in_executor(thread, self._packer.close)
                    self._send_again(self._stream.unanswered(), self._stream.ended)
                    self._stream = None
                policy = self._policy()
                uploads = self._take(policy.max_chunk_bytes)
                if uploads or self._packer.left:
                    packed = None if uploads else self._packer.pack_resident(policy)
                    if packed is None:
                        packed = await loop.run_in_executor(thread, self._packer.pack, uploads, policy)
                    self._stream = self._stream or _Stream(self._open_call(), self._wake.set)
                    await self._stream.write(packed)
                else:
                    self._wake.clear()
                    await self._wake.wait()
        finally:
            if self._stream is not None:
                self._stream.cancel()
            thread.submit(self._packer.close)  # runs after the read that may be under way
            thread.shutdown(wait=False)

    def _take(self, room: int) -> list[Upload]:
        """The uploads that begin in the next message, which holds `room` bytes of data."""
        taken: list[Upload] = []
        room -= self._packer.left
        while self._queue and room > 0 and len(taken) < _MAX_FILES:
            upload = self._queue.popleft()
            if upload.wanted:
                taken.append(upload)
                room -= upload.content.size
        return taken

    def _send_again(self, uploads: Sequence[Upload], why: LinkAnswer) -> None:
        """Queue what a stream had taken that broke, before all else; what was tried often ends by `why`."""
        for upload in reversed(uploads):
            if upload.sends < _MAX_SENDS:
                self._queue.appendleft(upload)
            else:
                upload.end(why)


class _Stream:
    """One Scan call. ended: once it is over, what that means for uploads that nobody answers any more."""

    def __init__(self, call: Call, on_end: Callable[[], None]) -> None:
        """on_end: told when the call is over."""
        self.ended: LinkAnswer | None = None
        self._call = call
        self._ending = Ending(call)
        self._on_end = on_end
        self._sent: list[Upload] = []
        self._many = _MANY_SENT
        self._watch = asyncio.get_running_loop().create_task(self._until_over())

    async def write(self, packed: Packed) -> None:
        """Send one message and tell the uploads that end by it; sets `ended` where the call is over."""
        for upload, said in packed.ended:
            upload.end(said)
        for upload in packed.begun:
            upload.sends += 1
        self._sent += packed.begun
        if len(self._sent) > self._many:
            self._sent = self.unanswered()
            self._many = 2 * len(self._sent) + _MANY_SENT
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._call.write(packed.request)
        except TimeoutError:
            reason = f"the SVM has taken no content for {WRITE_SECONDS:g} s"
            self._end(LinkAnswer(Outcome.TIMED_OUT, reason=reason))
            self.cancel()
        except (aio.AioRpcError, asyncio.InvalidStateError):
            await self._watch

    def unanswered(self) -> list[Upload]:
        """What was sent, wholly or in part, and still has no answer."""
        return [upload for upload in self._sent if upload.wanted]

    def cancel(self) -> None:
        """Give up the call."""
        self._watch.cancel()
        self._call.cancel()

    async def _until_over(self) -> None:
        code, details = self._ending.status(await self._call.code(), await self._call.details() or "")
        reason = f"the SVM ended the upload stream: {code.name}: {details or 'no reason given'}"
        self._end(LinkAnswer(_ENDS.get(code, Outcome.ENGINE_ERROR), reason=reason))

    def _end(self, answer: LinkAnswer) -> None:
        if self.ended is None:
            self.ended = answer
            self._on_end()
