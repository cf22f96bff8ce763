"""The Scan streams: content that the SVM asked for.

Two lanes with a stream each, so that a large file does not hold up the small ones: what fits into
one message goes the first way, all else the second. Each lane reads in a thread of its own and
holds one message's data, whatever waits.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc import aio
from lightagent.v1.guest_pb2 import ScanReply, ScanRequest, UploadEnd

from guest_stub.outcome import Outcome
from guest_stub.svm_link.packing import Packed, Packer
from guest_stub.svm_link.question import Upload
from guest_stub.svm_link.values import LinkAnswer, LinkPolicy
from guest_stub.svm_link.wire import refusal, upload_answer

WRITE_SECONDS = 60.0  # an SVM that takes no byte for so long is not waited for any more
_MAX_FILES = 512  # in one message: with names of 255 bytes they stay well under the wire's 1 MiB
_MANY_OWED = 16384

Call = aio.StreamStreamCall[ScanRequest, ScanReply]

_ENDS = {
    grpc.StatusCode.RESOURCE_EXHAUSTED: Outcome.OVERLOADED,
    grpc.StatusCode.DEADLINE_EXCEEDED: Outcome.TIMED_OUT,
}


class Uploader:
    """Sends content; each upload ends by what it is told, or by the end of its question.

    open_call: begins a Scan call. policy: the one in force.
    """

    def __init__(self, open_call: Callable[[], Call], policy: Callable[[], LinkPolicy]) -> None:
        self._policy = policy
        self._small = _Lane(open_call, policy)
        self._large = _Lane(open_call, policy)

    def send(self, upload: Upload) -> None:
        """Queue an upload. The queue is bounded by the digests that may be open on Check."""
        small = upload.content.size <= self._policy().max_chunk_bytes
        (self._small if small else self._large).put(upload)

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

    def put(self, upload: Upload) -> None:
        """Queue an upload."""
        self._queue.append(upload)
        self._wake.set()

    async def run(self) -> None:
        """Send what is queued, until cancelled."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="upload")
        try:
            while True:
                policy = self._policy()
                uploads = self._take(policy.max_chunk_bytes)
                if uploads or self._packer.left:
                    await self._send(thread, uploads, policy)
                else:
                    self._wake.clear()
                    await self._wake.wait()
        finally:
            if self._stream is not None:
                self._stream.cancel(LinkAnswer(Outcome.NO_SVM))
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

    async def _send(self, thread: ThreadPoolExecutor, uploads: list[Upload], policy: LinkPolicy) -> None:
        """Send one message; the file that was under way when its stream ended is not gone on with."""
        loop = asyncio.get_running_loop()
        if self._stream is None or self._stream.ended is not None:
            await loop.run_in_executor(thread, self._packer.close)  # its upload was refused with its stream
            if not uploads:
                return
            self._stream = _Stream(self._open_call())
        packed = await loop.run_in_executor(thread, self._packer.pack, uploads, policy)
        await self._stream.write(packed)


class _Stream:
    """One Scan call. ended: once it is over, what became of the uploads that still lacked an end."""

    def __init__(self, call: Call) -> None:
        self.ended: LinkAnswer | None = None
        self._call = call
        self._owed: dict[int, Upload] = {}  # by upload_id
        self._reader = asyncio.get_running_loop().create_task(self._read())

    async def write(self, packed: Packed) -> None:
        """Send one message and tell the uploads that end by it; sets `ended` where the call is over."""
        for upload, said in packed.ended:
            upload.end(said)
        if self.ended is not None:
            _refuse(packed.begun, self.ended)
            return
        self._owed.update(packed.begun)
        if len(self._owed) > _MANY_OWED:  # an SVM that does not end uploads must not fill the guest's memory
            self._owed = {number: upload for number, upload in self._owed.items() if upload.wanted}
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._call.write(packed.request)
        except TimeoutError:
            reason = f"the SVM has taken no content for {WRITE_SECONDS:g} s"
            self.cancel(LinkAnswer(Outcome.TIMED_OUT, reason=reason))
        except (aio.AioRpcError, asyncio.InvalidStateError):
            self._end(await self._why())

    def cancel(self, answer: LinkAnswer) -> None:
        """Give up the call; its uploads are refused with `answer`."""
        self._end(answer)
        self._reader.cancel()
        self._call.cancel()

    async def _read(self) -> None:
        try:
            while isinstance(reply := await self._call.read(), ScanReply):
                for end in reply.ends:
                    self._take(end)
        except aio.AioRpcError:
            pass  # the status says it
        self._end(await self._why())

    def _take(self, end: UploadEnd) -> None:
        upload = self._owed.pop(end.upload_id, None)
        if upload is None:
            return
        if end.HasField("refusal"):
            said, final = refusal(end.refusal)
            (upload.end if final else upload.refused)(said)
        else:
            upload.end(upload_answer(end))

    async def _why(self) -> LinkAnswer:
        """What the status of a call that is over means for its uploads."""
        code, details = await self._call.code(), await self._call.details()
        reason = f"the SVM ended the upload stream: {code.name}: {details or 'no reason given'}"
        return LinkAnswer(_ENDS.get(code, Outcome.ENGINE_ERROR), reason=reason)

    def _end(self, answer: LinkAnswer) -> None:
        if self.ended is None:
            self.ended = answer
            owed, self._owed = self._owed, {}
            _refuse(owed, answer)


def _refuse(uploads: dict[int, Upload], answer: LinkAnswer) -> None:
    for upload in uploads.values():
        upload.refused(answer)
