"""File content cut into ScanRequests: small files share one, large ones fill several."""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field

from lightagent.v1.guest_pb2 import ScanRequest
from xxhash import xxh3_64_intdigest

from guest_stub.outcome import Outcome
from guest_stub.reading import begin, read_quietly, went_away
from guest_stub.svm_link.question import Upload
from guest_stub.svm_link.values import LinkAnswer, LinkPolicy

_MAX_NAME_BYTES = 255


@dataclass(slots=True)
class Packed:
    """One message, the uploads whose headers are in it, and those that ended instead of being sent."""

    request: ScanRequest = field(default_factory=ScanRequest)
    begun: dict[int, Upload] = field(default_factory=dict)
    ended: list[tuple[Upload, LinkAnswer]] = field(default_factory=list)


@dataclass(slots=True)
class _Sending:
    """The upload whose last byte is not packed yet."""

    upload: Upload
    fd: int
    offset: int = 0


class Packer:
    """Packs uploads one after another, for one stream, in a reading thread.

    Holds at most one file open, and one message's data. Methods are not safe for several threads at once.
    """

    def __init__(self) -> None:
        self._buffer = memoryview(b"")
        self._sending: _Sending | None = None
        self._last_id = 0

    @property
    def left(self) -> int:
        """Bytes of the file that is under way that are not packed yet; 0 when none is."""
        sending = self._sending
        return 0 if sending is None else sending.upload.content.size - sending.offset

    def pack(self, uploads: Sequence[Upload], policy: LinkPolicy) -> Packed:
        """Go on with the file under way, then take the uploads; all but the last must fit in."""
        packed = Packed()
        room = policy.max_chunk_bytes
        if len(self._buffer) < room:
            self._buffer = memoryview(bytearray(room))
        if self._sending is not None:
            room = self._go_on(packed, room)
        for upload in uploads:
            if self._begin(upload, packed, policy.max_file_bytes):
                room = self._go_on(packed, room)
        return packed

    def close(self) -> Upload | None:
        """Forget the upload under way, as its stream ended; return it."""
        sending, self._sending = self._sending, None
        if sending is None:
            return None
        os.close(sending.fd)
        return sending.upload

    def _begin(self, upload: Upload, packed: Packed, most: int) -> bool:
        """Open the file and pack the header; False when the upload ended at once."""
        content = upload.content
        self._last_id += 1
        header = packed.request.parts.add().header
        header.upload_id = self._last_id
        header.lease = upload.lease
        header.sha256 = upload.sha256
        header.size = content.size
        header.name = content.name[:_MAX_NAME_BYTES]
        if content.size > most:  # the header and its end give the lease back
            reason = f"{content.size} bytes, the SVM takes no more than {most}"
            self._abort(packed, upload, LinkAnswer(Outcome.TOO_LARGE, reason=reason))
            return False
        try:
            fd = content.open()
        except OSError as error:
            self._abort(packed, upload, _unreadable(error))
            return False
        self._sending = _Sending(upload, fd)
        status = os.fstat(fd)
        if status.st_size != content.size or not stat.S_ISREG(status.st_mode):
            self._give_up(packed, LinkAnswer(Outcome.CHANGED, reason="changed after it was hashed"))
            return False
        begin(fd, content.size)
        packed.begun[self._last_id] = upload
        if content.size == 0:
            self.close()
            return False
        return True

    def _go_on(self, packed: Packed, room: int) -> int:
        """Pack as much of the file under way as there is room for; return the room that is left."""
        sending = self._sending
        if sending is None or room == 0:
            return room
        if not sending.upload.wanted:
            self._give_up(packed, LinkAnswer(Outcome.CHANGED))
            return room
        length = min(room, self.left)
        piece = self._buffer[:length]
        try:
            count = read_quietly(sending.fd, piece, sending.offset)
        except OSError as error:
            self._give_up(packed, _unreadable(error))
            return room
        if count != length:
            self._give_up(packed, LinkAnswer(Outcome.CHANGED, reason="became shorter after it was hashed"))
            return room
        chunk = packed.request.parts.add().chunk  # filled in place: a message that is added is copied
        chunk.data = bytes(piece)
        chunk.xxh3 = xxh3_64_intdigest(piece)
        sending.offset += length
        if self.left == 0:
            self.close()
        return room - length

    def _give_up(self, packed: Packed, answer: LinkAnswer) -> None:
        upload = self.close()
        if upload is not None:
            self._abort(packed, upload, answer)

    def _abort(self, packed: Packed, upload: Upload, answer: LinkAnswer) -> None:
        packed.request.parts.add().abort.SetInParent()
        packed.ended.append((upload, answer))


def _unreadable(error: OSError) -> LinkAnswer:
    if went_away(error):
        return LinkAnswer(Outcome.CHANGED, reason=f"went away after it was hashed: {error.strerror}")
    return LinkAnswer(Outcome.UNREADABLE, reason=error.strerror or str(error))
