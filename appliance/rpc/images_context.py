"""The stream of an image as `CheckCall` reads a guest's: what else is said on it is taken out on the way."""

import asyncio
from typing import Any, Protocol, cast

import grpc
from lightagent.v1 import guest_pb2, images_pb2

from appliance.domain.digest import DIGEST_BYTES
from appliance.domain.event import MAX_PATH_BYTES, MAX_TEXT_BYTES
from appliance.domain.image import ImageCounts, ImageScan
from appliance.domain.verdict import Verdict
from appliance.protection import Protection
from appliance.rpc import wire
from appliance.rpc.calls import Breach, Stalled
from appliance.rpc.identity import Context
from appliance.rpc.sessions import Session, Sessions

MAX_FINDS = 1000  # of one image that become events
SILENT_SECONDS = 120.0
_BROKEN_OFF = "broken off"


class ImageNotes(Protocol):
    """Is told of images."""

    def image_found(self, scan: ImageScan, digest: bytes, verdict: Verdict, path: bytes) -> None:
        """A file was found that is a detection by the SVM's own word."""

    def image_scanned(self, scan: ImageScan, counts: ImageCounts, complete: bool, text: str) -> None:
        """A scan is over."""


class Knowing(Protocol):
    """Who knows verdicts, and paces."""

    @property
    def sessions(self) -> Sessions:
        """Whose bounds count."""

    @property
    def protection(self) -> Protection:
        """Who knows verdicts."""


async def first_message(context: Context) -> images_pb2.ImageScan:
    """What the stream begins with. Raises Breach and Stalled."""
    message = await _read(context)
    if not isinstance(message, images_pb2.CheckImageRequest) or message.WhichOneof("message") != "begin":
        raise Breach("the first message is an ImageScan")
    return message.begin


async def _read(context: Context) -> Any:
    try:
        async with asyncio.timeout(SILENT_SECONDS):
            return await context.read()
    except TimeoutError:
        raise Stalled(f"nothing was said for {SILENT_SECONDS:g} s: begin the image anew") from None


class ImageContext:
    """One stream, behind its first message."""

    def __init__(
        self, context: Context, session: Session, scan: ImageScan, knowing: Knowing, notes: ImageNotes
    ) -> None:
        self._context = context
        self._session = session
        self._scan = scan
        self._knowing = knowing
        self._notes = notes
        self._finds = 0
        self._summary: images_pb2.ImageSummary | None = None

    def as_context(self) -> Context:
        """This, as what a call of a guest's is made with."""
        return cast(Context, self)

    async def read(self) -> Any:
        """The next question, or EOF."""
        while True:
            message = await _read(self._context)
            if not isinstance(message, images_pb2.CheckImageRequest):
                return message
            kind = message.WhichOneof("message")
            if self._summary is not None:
                raise Breach("after ImageSummary nothing is said any more")
            if kind == "check":
                return message.check
            if kind == "find":
                await self._find(message.find)
            elif kind == "done":
                self._summary = message.done
            else:
                raise Breach("after the first message come CheckRequest, ImageFind and ImageSummary")

    async def write(self, reply: guest_pb2.CheckReply) -> None:
        """Say what is known of some digests."""
        await self._context.write(images_pb2.CheckImageReply(check=reply))

    async def abort(self, status: grpc.StatusCode, why: str) -> None:
        """End the call."""
        await self._context.abort(status, why)

    def peer(self) -> str:
        """Whose connection it is."""
        return self._context.peer()

    async def _find(self, find: images_pb2.ImageFind) -> None:
        """Note a detection, where it is one by what the SVM knows itself."""
        if len(find.sha256) != DIGEST_BYTES or len(find.path) > MAX_PATH_BYTES:
            raise Breach(f"a find of {len(find.sha256)} and {len(find.path)} bytes: see ImageFind")
        await self._knowing.sessions.keep_pace(self._session, "events_per_second", 1)
        known = self._knowing.protection.known_by_now(self._session.guest, [find.sha256])
        verdict = known.notable.get(0)
        self._finds += 1
        if verdict is not None and verdict.disposition.is_detection and self._finds <= MAX_FINDS:
            self._notes.image_found(self._scan, find.sha256, verdict, find.path)

    def over(self) -> None:
        """Note what came of it; to be called once, at the end of the stream."""
        said = self._summary
        if said is None:
            self._notes.image_scanned(self._scan, ImageCounts(), False, _BROKEN_OFF)
            return
        counts = ImageCounts(
            said.files, said.bytes, said.malicious, said.suspicious, said.unanswered, said.sent
        )
        text = wire.label(said.text, MAX_TEXT_BYTES)
        self._notes.image_scanned(self._scan, counts, said.complete, text)
