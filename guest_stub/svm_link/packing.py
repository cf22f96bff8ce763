"""File content cut into ScanRequests: small files share one, large ones fill several."""

import os
import stat
from collections.abc import Sequence

from xxhash import xxh3_64_intdigest

from guest_stub.outcome import Outcome
from guest_stub.pages import blank
from guest_stub.reading import begin, go_on_reading, read_quietly, read_resident, went_away
from guest_stub.svm_link.framing import ABORT, Headers, before_chunk
from guest_stub.svm_link.question import Upload
from guest_stub.svm_link.values import LinkAnswer, LinkPolicy

_MAX_NAME_BYTES = 255


class Packed:
    """One message, the uploads whose headers are in it, and those that ended instead of being sent.

    room: where its next data goes, and how much; empty when it is full. request: the ScanRequest, serialized.
    """

    request: bytes

    def __init__(self, room: memoryview) -> None:
        """room: for all data of the message."""
        self.room = room
        self.begun: list[Upload] = []
        self.ended: list[tuple[Upload, LinkAnswer]] = []
        self._pieces: list[bytes | memoryview] = []

    def add_part(self, part: bytes) -> None:
        """Add a part that is no chunk."""
        self._pieces.append(part)

    def add_chunk(self, data: memoryview) -> None:
        """Add a chunk. data: the first bytes of the room, filled."""
        length = len(data)
        self._pieces += (before_chunk(length, xxh3_64_intdigest(data)), data)
        self.room = self.room[length:]

    def serialize(self) -> None:
        """Nothing more is added: the room is free for another message."""
        self.request = b"".join(self._pieces)
        self._pieces.clear()


class _Sending:
    """The upload whose last byte is not packed yet.

    resident: how many of its next bytes stand in the packer's buffer already, None where that was not tried.
    """

    __slots__ = ("fd", "offset", "resident", "upload")

    def __init__(self, upload: Upload, fd: int) -> None:
        self.upload = upload
        self.fd = fd
        self.offset = 0
        self.resident: int | None = None

    def read(self, piece: memoryview) -> int:
        """Fill `piece`, wholly unless the file has ended; raises OSError."""
        resident, self.resident = self.resident, None
        if resident is None:
            return read_quietly(self.fd, piece, self.offset)
        return go_on_reading(self.fd, piece, self.offset, resident)


class Packer:
    """Packs uploads one after another, for one stream, in a reading thread where nothing else is said.

    Holds at most one file open, and one message's data. Methods are not safe for several threads at once.
    """

    def __init__(self) -> None:
        self._buffer = memoryview(b"")
        self._sending: _Sending | None = None
        self._headers = Headers()

    @property
    def left(self) -> int:
        """Bytes of the file that is under way that are not packed yet; 0 when none is."""
        sending = self._sending
        return 0 if sending is None else sending.upload.content.size - sending.offset

    def pack(self, uploads: Sequence[Upload], policy: LinkPolicy) -> Packed:
        """Go on with the file under way, then take the uploads; all but the last must fit in."""
        if len(self._buffer) != policy.max_chunk_bytes:
            self._buffer = blank(policy.max_chunk_bytes)
        packed = Packed(self._buffer)
        self._go_on(packed)
        for upload in uploads:
            self._begin(upload, packed, policy.max_file_bytes)
            self._go_on(packed)
        packed.serialize()
        return packed

    def pack_resident(self, policy: LinkPolicy) -> Packed | None:
        """Fill a message from the middle of the file under way if that is in memory; else None.

        Never waits for a disk, so that the loop may call it: to have it done by a thread costs more. After
        None pack() is to be called with the same policy.
        """
        sending, room = self._sending, self._buffer
        if sending is None or self.left <= len(room) or not sending.upload.wanted:
            return None
        if len(room) != policy.max_chunk_bytes:  # it has changed since
            return None
        try:
            sending.resident = read_resident(sending.fd, room, sending.offset)
        except OSError:  # the thread will meet it again, and say so
            return None
        if sending.resident != len(room):
            return None
        sending.resident = None
        packed = Packed(room)
        packed.add_chunk(room)
        packed.serialize()
        sending.offset += len(room)
        return packed

    def close(self) -> Upload | None:
        """Forget the upload under way, as it is packed or its stream ended; return it."""
        sending, self._sending = self._sending, None
        if sending is None:
            return None
        os.close(sending.fd)
        return sending.upload

    def _begin(self, upload: Upload, packed: Packed, most: int) -> None:
        """Open the file and pack the header; an upload that ends at once is not under way then."""
        content = upload.content
        name = content.name[:_MAX_NAME_BYTES]
        packed.add_part(self._headers.part(upload.lease, upload.sha256, content.size, name))
        if content.size > most:  # the header and its end give the lease back
            reason = f"{content.size} bytes, the SVM takes no more than {most}"
            _abort(packed, upload, LinkAnswer(Outcome.TOO_LARGE, reason=reason))
            return
        if content.size == 0:  # the header is all of it: nothing is open then that could be given up
            packed.begun.append(upload)
            return
        try:
            fd = content.open()
        except OSError as error:
            _abort(packed, upload, _unreadable(error))
            return
        self._sending = _Sending(upload, fd)
        status = os.fstat(fd)
        if status.st_size != content.size or not stat.S_ISREG(status.st_mode):
            self._give_up(packed, LinkAnswer(Outcome.CHANGED, reason="changed after it was hashed"))
            return
        begin(fd, content.size)
        packed.begun.append(upload)

    def _go_on(self, packed: Packed) -> None:
        """Pack as much of the file under way as there is room for."""
        sending = self._sending
        if sending is None or not packed.room:
            return
        if not sending.upload.wanted:
            self._give_up(packed, LinkAnswer(Outcome.CHANGED))
            return
        piece = packed.room[: self.left]
        try:
            count = sending.read(piece)
        except OSError as error:
            self._give_up(packed, _unreadable(error))
            return
        if count != len(piece):
            self._give_up(packed, LinkAnswer(Outcome.CHANGED, reason="became shorter after it was hashed"))
            return
        packed.add_chunk(piece)
        sending.offset += count
        if self.left == 0:
            self.close()

    def _give_up(self, packed: Packed, answer: LinkAnswer) -> None:
        upload = self.close()
        if upload is not None:
            _abort(packed, upload, answer)


def _abort(packed: Packed, upload: Upload, answer: LinkAnswer) -> None:
    packed.add_part(ABORT)
    packed.ended.append((upload, answer))


def _unreadable(error: OSError) -> LinkAnswer:
    if went_away(error):
        return LinkAnswer(Outcome.CHANGED, reason=f"went away after it was hashed: {error.strerror}")
    return LinkAnswer(Outcome.UNREADABLE, reason=error.strerror or str(error))
