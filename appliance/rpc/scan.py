"""A Scan stream of one guest: content in, one upload after another. Its answers go out on Check."""

import asyncio
from dataclasses import dataclass

import xxhash
from lightagent.v1 import guest_pb2

from appliance.domain.digest import DIGEST_BYTES
from appliance.domain.outcome import Unanswered
from appliance.domain.verdict import NoAnswer
from appliance.protection import Key, Protection
from appliance.rpc import wire
from appliance.rpc.calls import Breach, Stalled, take_in
from appliance.rpc.identity import Context
from appliance.rpc.sessions import Session, Sessions
from appliance.rpc.terms import Terms
from appliance.scanning.spool import Spool, SpoolBusy, SpoolFile, TooLargeForSpool, TooMuchContent

_SLOWEST_BYTES_PER_SECOND = 64 * 1024  # an upload that takes longer than this allows has stalled
_FAIR_BYTES_PER_SECOND = 1 << 20  # the same while others wait for room, after a time to get going
_FAIR_AFTER_SECONDS = 5.0
_LOOK_SECONDS = 1.0  # how often it is asked whether an upload is slow while others wait
_PARTS_OF_A_MESSAGE = 8  # so many more count as a message more, under limits.messages_per_second
_PART_BYTES = 16 * 1024  # that a part counts as at least, under limits.upload_mib_per_second
_HASHED_AT_ONCE = 128 * 1024  # bytes, some tenths of a millisecond, after which others have their turn
_PARTS_AT_ONCE = 64  # after which others have their turn


@dataclass(slots=True)
class _Upload:
    """The upload whose chunks come now. content: None while its chunks are read and thrown away."""

    header: guest_pb2.ScanHeader
    left: int
    began: float
    deadline: float
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
        self._upload: _Upload | None = None
        self._loop = asyncio.get_running_loop()
        self._clock = self._loop.time
        self._most_bytes = wire.chunk_bytes(self._limits.message_kib << 10)
        self._refused = 0  # uploads of the message that is taken in now
        self._looks: asyncio.TimerHandle | None = None
        self._is_slow = False
        # Longer than anybody may hold room that others wait for; a question's own budget ends before.
        largest = (self._limits.max_file_mib << 20) / _FAIR_BYTES_PER_SECOND
        self._patience = _FAIR_AFTER_SECONDS + largest + self._limits.upload_stall_seconds

    async def run(self, sessions: Sessions) -> None:
        """Serve the stream to its end. Scans of what has come whole go on without it."""
        try:
            await take_in(self._read(sessions), self._session)
        finally:
            if self._looks is not None:
                self._looks.cancel()
            self._drop_upload(None if self._session.ended else _CUT_OFF)

    async def _read(self, sessions: Sessions) -> None:
        try:
            async with asyncio.timeout(None) as watch:
                while True:
                    upload = self._upload
                    watch.reschedule(
                        None
                        if upload is None
                        else min(self._clock() + self._limits.upload_stall_seconds, upload.deadline)
                    )
                    if upload is not None and self._looks is None:
                        self._looks = self._loop.call_later(_LOOK_SECONDS, self._look, watch)
                    request = await self._context.read()
                    if not isinstance(request, guest_pb2.ScanRequest):
                        return
                    watch.reschedule(None)
                    await self._take(request, sessions)
                    await self._slow_down(request, sessions)
        except TimeoutError:
            bound = "" if self._is_slow else "limits.upload_stall_seconds"
            raise Stalled(_SLOW if self._is_slow else _STALLED, bound) from None

    def _look(self, watch: asyncio.Timeout) -> None:
        """End the stream when its upload is slow and others wait, whether anything comes of it or not."""
        self._looks = None
        upload = self._upload
        if upload is None:
            return
        if upload.content is not None and self._spool.is_wanted and _is_slow(upload, self._clock()):
            self._is_slow = True
            watch.reschedule(self._clock())
        else:
            self._looks = self._loop.call_later(_LOOK_SECONDS, self._look, watch)

    async def _slow_down(self, request: guest_pb2.ScanRequest, sessions: Sessions) -> None:
        """Have a guest wait that sends too much: messages, parts, bytes, or uploads that nobody asked for."""
        refused, self._refused = self._refused, 0
        session, parts = self._session, len(request.parts)
        cost = 1 + parts / _PARTS_OF_A_MESSAGE + refused
        await sessions.keep_pace(session, "messages_per_second", cost, "uploads")
        sessions.company.note(session.guest.owner)
        size = max(request.ByteSize(), parts * _PART_BYTES)
        await sessions.keep_pace(session, "upload_mib_per_second", size / (1 << 20))

    async def _take(self, request: guest_pb2.ScanRequest, sessions: Sessions) -> None:
        if len(request.parts) > wire.MAX_PARTS:
            raise Breach(f"{len(request.parts)} parts in one message: send at most {wire.MAX_PARTS}")
        room = self._most_bytes
        for number, part in enumerate(request.parts, 1):
            if number % _PARTS_AT_ONCE == 0:
                await asyncio.sleep(0)
            kind = part.WhichOneof("part")
            if kind == "header":
                await self._begin(part.header, sessions)
            elif kind == "chunk":
                chunk = part.chunk
                data = chunk.data  # each access makes a copy
                room -= len(data)
                if room < 0:
                    raise Breach(
                        f"more than {self._most_bytes} bytes of data in one message: send less at once"
                    )
                await self._write(data, chunk.xxh3)
            elif kind == "abort":
                if self._upload is None:
                    raise Breach("an abort without an open upload")
                self._drop_upload(NoAnswer(Unanswered.CHANGED, "the guest gave up the upload"))
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
        sessions.counts["uploads"] += 1
        key, content = await self._admit(header, sessions)
        if content is None:
            sessions.counts["uploads_refused"] += 1
            self._refused += 1
        # The clock starts when there is room: waiting for it is not the guest's fault.
        began = self._clock()
        deadline = began + self._limits.upload_stall_seconds + header.size / _SLOWEST_BYTES_PER_SECOND
        self._upload = _Upload(header, header.size, began, deadline, key, content)
        if header.size == 0:
            self._complete(self._upload)

    async def _admit(
        self, header: guest_pb2.ScanHeader, sessions: Sessions
    ) -> tuple[Key | None, SpoolFile | None]:
        """Give the upload room in the spool. Where it gets none, its question is answered."""
        guest_id = self._session.guest.id
        key = self._protection.flights.claim(header.lease, guest_id)
        if key is None:
            return None, None  # passed on, or answered meanwhile: whoever asked has been told
        if key[1] != header.sha256:
            self._give_up(header, _NOT_THE_DIGEST)
            return None, None
        if header.size > self._limits.max_file_mib << 20:
            sessions.over("limits.max_file_mib")
            self._give_up(header, NoAnswer(Unanswered.TOO_LARGE, f"over {self._limits.max_file_mib} MiB"))
            return None, None
        try:
            owner = self._session.guest.owner
            content = self._spool.reserve_now(owner, header.size) or await self._spool.reserve(
                owner, header.size, self._patience
            )
        except TooLargeForSpool as error:
            self._give_up(header, NoAnswer(Unanswered.TOO_LARGE, str(error)))
        except SpoolBusy as error:
            sessions.over("limits.guest_spool_mib")
            self._give_up(header, NoAnswer(Unanswered.OVERLOADED, str(error)))
        else:
            return key, content
        return None, None

    async def _write(self, data: bytes, checksum: int) -> None:
        upload = self._upload
        if upload is None:
            raise Breach("a chunk without a header before it, or beyond the size that the header said")
        size = len(data)
        if size == 0 or size > upload.left:
            raise Breach(
                f"a chunk of {size} bytes where 1 to {upload.left} are due: what the header said counts"
            )
        if upload.content is not None:
            if checksum and checksum != xxhash.xxh3_64_intdigest(data):
                raise Breach("a chunk differs from its checksum: the transport or the sender is broken")
            try:
                await self._keep(upload.content, data)
            except SpoolBusy as error:
                self._give_up(upload.header, NoAnswer(Unanswered.OVERLOADED, str(error)))
                upload.content.close()
                upload.content = None
            except TooMuchContent as error:
                raise Breach(str(error)) from error
            self._protection.flights.progress(self._session.guest.id)
        upload.left -= size
        self._session.bytes_uploaded += size
        if upload.left == 0:
            self._complete(upload)

    async def _keep(self, content: SpoolFile, data: bytes) -> None:
        """Take the next bytes of a content, which have to be hashed; others have their turn meanwhile."""
        if len(data) <= _HASHED_AT_ONCE:
            content.write(data)
            return
        view = memoryview(data)
        for first in range(0, len(data), _HASHED_AT_ONCE):
            content.write(view[first : first + _HASHED_AT_ONCE])
            await asyncio.sleep(0)

    def _complete(self, upload: _Upload) -> None:
        """All bytes are here: compare what they are with what the header said, and have them scanned."""
        self._upload = None
        content, key, header = upload.content, upload.key, upload.header
        if content is None or key is None:
            return  # answered already; its chunks were only read to reach the next header
        if content.finish() != key[1]:
            content.close()
            self._give_up(header, _NOT_THE_DIGEST)
            return
        self._protection.scan(key, content, header.name[: wire.MAX_NAME_BYTES])

    def _drop_upload(self, answer: NoAnswer | None) -> None:
        """Give up the open upload, if there is one; None: the guest is gone."""
        upload, self._upload = self._upload, None
        if upload is None or upload.content is None:
            return
        upload.content.close()
        self._give_up(upload.header, answer)

    def _give_up(self, header: guest_pb2.ScanHeader, answer: NoAnswer | None) -> None:
        """Answer this guest's question alone: what it says of its content binds nobody else."""
        self._protection.flights.give_up(header.lease, self._session.guest.id, answer)


def _is_slow(upload: _Upload, now: float) -> bool:
    """Whether an upload holds its room for longer than is fair while others wait for some."""
    came = upload.header.size - upload.left
    return now - upload.began > _FAIR_AFTER_SECONDS + came / _FAIR_BYTES_PER_SECOND


_SLOW = "the upload is slow while others wait for its room: send it again when there is more"
_STALLED = "the upload stalled: send its chunks without a pause, or ScanAbort; its lease is passed on"
_CUT_OFF = NoAnswer(Unanswered.TIMED_OUT, "the upload stalled or was cut off: ask again")
_NOT_THE_DIGEST = NoAnswer(
    Unanswered.CHANGED, "the content is not the digest's: the file changed, look at it again"
)
