"""A Scan stream of one guest: content in, one upload after another, and the end of each."""

import asyncio
from dataclasses import dataclass

import grpc
import xxhash
from lightagent.v1 import guest_pb2, verdict_pb2

from appliance.domain.digest import DIGEST_BYTES
from appliance.domain.outcome import Unanswered
from appliance.domain.verdict import Answer, NoAnswer
from appliance.protection import Key, Protection
from appliance.rpc import wire
from appliance.rpc.calls import Breach, Stalled, converse
from appliance.rpc.identity import Context
from appliance.rpc.outbox import Outbox
from appliance.rpc.sessions import Session, Sessions
from appliance.rpc.terms import Terms
from appliance.scanning.spool import Spool, SpoolBusy, SpoolFile, TooLargeForSpool, TooMuchContent

_MOST_ENDS = 512  # of one reply
_SLOWEST_BYTES_PER_SECOND = 64 * 1024  # an upload that takes longer than this allows has stalled
_FAIR_BYTES_PER_SECOND = 1 << 20  # the same while others wait for room, after a time to get going
_FAIR_AFTER_SECONDS = 5.0


@dataclass(slots=True)
class _Upload:
    """The upload whose chunks come now. content: None while its chunks are read and thrown away."""

    header: guest_pb2.ScanHeader
    left: int
    began: float = 0.0
    deadline: float = 0.0
    key: Key | None = None
    content: SpoolFile | None = None


class ScanCall:
    """One Scan stream."""

    def __init__(
        self, context: Context, session: Session, protection: Protection, spool: Spool, terms: Terms
    ) -> None:
        """session: the guest's, open for as long as the call."""
        self._context = context
        self._session = session
        self._protection = protection
        self._spool = spool
        self._limits = terms.limits
        self._valid_for = terms.valid_for
        self._outbox: Outbox[guest_pb2.UploadEnd] = Outbox(self._send_ends, _MOST_ENDS)
        self._upload: _Upload | None = None
        self._scans: dict[int, asyncio.Task[None]] = {}

    async def run(self, sessions: Sessions) -> None:
        """Serve the stream to its end."""
        try:
            await converse(self._read(sessions), self._outbox, self._finish, self._session)
        finally:
            self._drop_upload(None if self._session.ended else _CUT_OFF)
            for task in self._scans.values():
                task.cancel()  # the scan itself goes on: Protection owns it

    # -- the guest's messages --------------------------------------------------------------------

    async def _read(self, sessions: Sessions) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as watch:
                while True:
                    upload = self._upload
                    watch.reschedule(
                        None
                        if upload is None
                        else min(loop.time() + self._limits.upload_stall_seconds, upload.deadline)
                    )
                    request = await self._context.read()
                    if not isinstance(request, guest_pb2.ScanRequest):
                        return
                    watch.reschedule(None)
                    await self._take(request, sessions)
                    if len(self._outbox) > _MOST_ENDS:
                        await self._outbox.drained()  # a guest that does not read is not read either
        except TimeoutError:
            raise Stalled(
                "the upload stalled: send its chunks without a pause, or ScanAbort; its lease is passed on"
            ) from None

    async def _take(self, request: guest_pb2.ScanRequest, sessions: Sessions) -> None:
        if sum(len(part.chunk.data) for part in request.parts) > wire.MAX_CHUNK_BYTES:
            raise Breach(f"more than {wire.MAX_CHUNK_BYTES} bytes of data in one message: send less at once")
        if len(request.parts) > wire.MAX_PARTS:
            raise Breach(f"{len(request.parts)} parts in one message: send at most {wire.MAX_PARTS}")
        for part in request.parts:
            kind = part.WhichOneof("part")
            if kind == "header":
                await self._begin(part.header, sessions)
            elif kind == "chunk":
                self._write(part.chunk)
            elif kind == "abort":
                if self._upload is None:
                    raise Breach("an abort without an open upload")
                self._drop_upload(NoAnswer(Unanswered.ENGINE_ERROR, "the guest gave up the upload"))
            else:
                raise Breach("a part that is neither header, chunk nor abort")

    async def _begin(self, header: guest_pb2.ScanHeader, sessions: Sessions) -> None:
        if self._upload is not None:
            raise Breach(
                f"a header while {self._upload.left} bytes of the upload before it are due: send or abort it"
            )
        if len(header.sha256) != DIGEST_BYTES:
            raise Breach(
                f"a digest of {len(header.sha256)} bytes: send the {DIGEST_BYTES} bytes of a SHA-256"
            )
        if header.upload_id == 0 or header.upload_id in self._scans:
            raise Breach(f"upload_id {header.upload_id} is zero or still open: number uploads upwards from 1")
        sessions.counts["uploads"] += 1
        upload = _Upload(header, header.size)
        end = await self._admit(upload)
        # The clock starts when there is room: waiting for it is not the guest's fault.
        seconds = self._limits.upload_stall_seconds + header.size / _SLOWEST_BYTES_PER_SECOND
        upload.began = asyncio.get_running_loop().time()
        upload.deadline = upload.began + seconds
        if end is not None:
            sessions.counts["uploads_refused"] += 1
            self._outbox.put(end)
        self._upload = upload
        if upload.left == 0:
            self._complete()

    async def _admit(self, upload: _Upload) -> guest_pb2.UploadEnd | None:
        """Give the upload room in the spool; the end to answer at once where it gets none."""
        header = upload.header
        flights = self._protection.flights
        key = flights.claim(header.lease, self._session.guest.id)
        if key is None:
            return _refusal(
                header, grpc.StatusCode.FAILED_PRECONDITION, "the lease is not known (any more): ask again"
            )
        if key[1] != header.sha256:
            flights.give_up(header.lease, self._session.guest.id, _NOT_THE_DIGEST)
            return _refusal(header, grpc.StatusCode.INVALID_ARGUMENT, "the lease is for another digest")
        if header.size > self._limits.max_file_mib << 20:
            return self._unanswered(header, Unanswered.TOO_LARGE, f"over {self._limits.max_file_mib} MiB")
        try:
            upload.content = await self._spool.reserve(
                self._session.guest.id, header.size, self._limits.upload_stall_seconds
            )
        except TooLargeForSpool as error:
            return self._unanswered(header, Unanswered.TOO_LARGE, str(error))
        except SpoolBusy as error:
            return self._unanswered(header, Unanswered.OVERLOADED, str(error))
        upload.key = key
        return None

    def _unanswered(self, header: guest_pb2.ScanHeader, why: Unanswered, reason: str) -> guest_pb2.UploadEnd:
        """End an upload for this guest alone: what it says of its content binds nobody else."""
        answer = NoAnswer(why, reason)
        self._protection.flights.give_up(header.lease, self._session.guest.id, answer)
        return self._end(header, answer)

    def _write(self, chunk: guest_pb2.ScanChunk) -> None:
        upload = self._upload
        if upload is None:
            raise Breach("a chunk without a header before it, or beyond the size that the header said")
        size = len(chunk.data)
        if size == 0 or size > upload.left:
            raise Breach(
                f"a chunk of {size} bytes where 1 to {upload.left} are due: what the header said counts"
            )
        if upload.content is not None:
            if chunk.xxh3 and chunk.xxh3 != xxhash.xxh3_64_intdigest(chunk.data):
                raise Breach("a chunk differs from its checksum: the transport or the sender is broken")
            try:
                upload.content.write(chunk.data)
            except SpoolBusy as error:
                self._outbox.put(self._unanswered(upload.header, Unanswered.OVERLOADED, str(error)))
                upload.content.close()
                upload.content = None
            except TooMuchContent as error:
                raise Breach(str(error)) from error
            self._protection.flights.progress(self._session.guest.id)
        upload.left -= size
        if self._spool.waiting and _is_slow(upload, asyncio.get_running_loop().time()):
            raise Stalled(
                "the upload is slow while others wait for its room: send it again when there is more"
            )
        self._session.bytes_uploaded += size
        if upload.left == 0:
            self._complete()

    def _complete(self) -> None:
        """All bytes are here: compare what they are with what the header said, and have them scanned."""
        upload, self._upload = self._upload, None
        assert upload is not None
        content, key, header = upload.content, upload.key, upload.header
        if content is None or key is None:
            return  # answered already; its chunks were only read to reach the next header
        if content.finish() != header.sha256:
            content.close()
            self._protection.flights.give_up(header.lease, self._session.guest.id, _NOT_THE_DIGEST)
            self._outbox.put(
                _refusal(
                    header, grpc.StatusCode.INVALID_ARGUMENT, f"{_NOT_THE_DIGEST.reason}; nothing was stored"
                )
            )
            return
        name = header.name[: wire.MAX_NAME_BYTES]
        self._scans[header.upload_id] = asyncio.get_running_loop().create_task(
            self._scan(header, key, content, name)
        )

    async def _scan(self, header: guest_pb2.ScanHeader, key: Key, content: SpoolFile, name: bytes) -> None:
        try:
            answer = await self._protection.scan(key, content, name)
            self._outbox.put(self._end(header, answer))
        finally:
            del self._scans[header.upload_id]

    # -- ends ------------------------------------------------------------------------------------

    def _drop_upload(self, answer: NoAnswer | None) -> None:
        """Give up the open upload, if there is one; None: the guest is gone."""
        upload, self._upload = self._upload, None
        if upload is None or upload.content is None:
            return
        upload.content.close()
        self._protection.flights.give_up(upload.header.lease, self._session.guest.id, answer)
        if answer is not None:
            self._outbox.put(self._end(upload.header, answer))

    async def _finish(self) -> None:
        """Wait for the scans of what has come whole."""
        self._drop_upload(_CUT_OFF)
        if self._scans:
            await asyncio.wait(list(self._scans.values()))

    def _end(self, header: guest_pb2.ScanHeader, answer: Answer) -> guest_pb2.UploadEnd:
        known = not isinstance(answer, NoAnswer)
        return guest_pb2.UploadEnd(
            upload_id=header.upload_id,
            outcome=wire.outcome_of(answer),
            detail=wire.detail_of(0, answer),
            valid_for=self._valid_for if known else None,
            generation=self._protection.generation if isinstance(answer, NoAnswer) else answer.generation,
        )

    async def _send_ends(self, ends: list[guest_pb2.UploadEnd]) -> None:
        await self._context.write(guest_pb2.ScanReply(ends=ends))


def _is_slow(upload: _Upload, now: float) -> bool:
    """Whether an upload holds its room for longer than is fair while others wait for some."""
    came = upload.header.size - upload.left
    return now - upload.began > _FAIR_AFTER_SECONDS + came / _FAIR_BYTES_PER_SECOND


_CUT_OFF = NoAnswer(Unanswered.TIMED_OUT, "the upload stalled or was cut off: ask again")
_NOT_THE_DIGEST = NoAnswer(
    Unanswered.ENGINE_ERROR, "the content is not the digest's: the file changed, look at it again"
)


def _refusal(header: guest_pb2.ScanHeader, code: grpc.StatusCode, message: str) -> guest_pb2.UploadEnd:
    return guest_pb2.UploadEnd(
        upload_id=header.upload_id,
        outcome=verdict_pb2.OUTCOME_UNSPECIFIED,
        refusal=guest_pb2.Refusal(code=code.value[0], message=message),
    )
