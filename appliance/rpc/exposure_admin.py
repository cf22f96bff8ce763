"""The ExposureAdministration service: which guests hold a file, which guests there are, what one holds."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, cast

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from lightagent.v1 import exposure_pb2, exposure_pb2_grpc, verdict_pb2

from appliance.domain.caller import Caller
from appliance.domain.verdict import Verdict
from appliance.rpc.admin_calls import BadRequest, CallerOf, answered, checked_digest, checked_limit
from appliance.rpc.identity import Context

DEFAULT_GUESTS, MAX_GUESTS = 100, 4096
DEFAULT_FILES, MAX_FILES = 100, 10_000_000
MAX_READERS = 4
_FILES_OF_MESSAGE = 1000

HeldFile = tuple[bytes, int, int]  # digest, first and last in seconds since the epoch


@dataclass(frozen=True, slots=True)
class HolderView:
    """A guest that holds a digest. first, last: seconds since the epoch."""

    guest: str
    first: int
    last: int
    attached: bool


@dataclass(frozen=True, slots=True)
class GuestSeen:
    """A guest that is, or was, here, or has enrolled. host_name: its own word, "" where it is not known.

    first, last: as above, 0 for never. certificate: how it stands, "" where there is none; it ends at
    certificate_ends, seconds since the epoch.
    """

    guest: str
    attached: bool
    host_name: str
    first: int
    last: int
    files: int
    tenant: str = ""
    certificate: str = ""
    certificate_ends: int = 0


class ExposureControl(Protocol):
    """What the SVM knows of guests and what they hold."""

    async def holders(self, digest: bytes) -> Sequence[HolderView]:
        """Who holds a digest of 32 bytes, the guest that was seen last first."""

    def guests(self) -> Sequence[GuestSeen]:
        """Every guest, those that are attached first, then the one that was seen last."""

    def knows(self, guest: str) -> bool:
        """Whether a guest is, or was, here."""

    def files(self, guest: str) -> AsyncIterator[Sequence[HeldFile]]:
        """What a guest holds, by digest, some at a time."""

    def words(self, digests: Sequence[bytes]) -> Sequence[Verdict | None]:
        """What is known of digests, overrides before verdicts; None for nothing."""


class ExposureAdministrationService:
    """Serves administrators beside AdministrationService, on the same socket.

    Not derived from the generated servicer, whose types know streams as iterators only.
    """

    def __init__(self, control: ExposureControl, caller: CallerOf) -> None:
        """caller: who calls; ends the call itself where nobody vouches."""
        self.caller = caller
        self._control = control
        self._readers = 0

    def add_to(self, server: grpc.aio.Server) -> None:
        """Have the server serve this."""
        servicer = cast("exposure_pb2_grpc.ExposureAdministrationServicer", self)
        exposure_pb2_grpc.add_ExposureAdministrationServicer_to_server(servicer, server)

    @answered
    async def GetExposure(
        self, request: exposure_pb2.GetExposureRequest, _caller: Caller
    ) -> exposure_pb2.GetExposureReply:
        """Answer who holds a digest."""
        holders = await self._control.holders(checked_digest(request.sha256))
        return exposure_pb2.GetExposureReply(
            holders=[
                exposure_pb2.Holder(
                    guest=holder.guest,
                    first=_timestamp(holder.first),
                    last=_timestamp(holder.last),
                    attached=holder.attached,
                )
                for holder in holders
            ]
        )

    @answered
    async def ListGuests(
        self, request: exposure_pb2.ListGuestsRequest, _caller: Caller
    ) -> exposure_pb2.ListGuestsReply:
        """Answer which guests there are."""
        limit = checked_limit(request.limit, DEFAULT_GUESTS, MAX_GUESTS)
        guests = list(self._control.guests())[:limit]
        return exposure_pb2.ListGuestsReply(guests=map(_guest_message, guests))

    async def ListGuestFiles(self, request: exposure_pb2.ListGuestFilesRequest, context: Context) -> None:
        """Send what a guest holds."""
        await self.caller(context)
        if self._readers >= MAX_READERS:
            sentence = f"{MAX_READERS} commands list guests' files now, which is all: wait for one of them"
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, sentence)
        if not self._control.knows(request.guest):
            sentence = f"no guest {request.guest[:80]!r} is known: see `svm guests list`"
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, sentence)
        try:
            limit = checked_limit(request.limit, DEFAULT_FILES, MAX_FILES)
        except BadRequest as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        with self._reader():
            await self._send(request, limit, context)

    @contextmanager
    def _reader(self) -> Iterator[None]:
        """Take one of the places of readers."""
        self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1

    async def _send(self, request: exposure_pb2.ListGuestFilesRequest, limit: int, context: Context) -> None:
        async for held in self._control.files(request.guest):
            for start in range(0, len(held), _FILES_OF_MESSAGE):
                some = held[start : start + _FILES_OF_MESSAGE]
                words = self._control.words([digest for digest, _, _ in some])
                files = [
                    _file_message(file, word)
                    for file, word in zip(some, words, strict=True)
                    if not request.malicious or (word is not None and word.disposition.is_detection)
                ][:limit]
                if files:
                    await context.write(exposure_pb2.ListGuestFilesReply(files=files))
                limit -= len(files)
                if not limit:
                    return


def _guest_message(guest: GuestSeen) -> exposure_pb2.KnownGuest:
    return exposure_pb2.KnownGuest(
        guest=guest.guest,
        attached=guest.attached,
        host_name=guest.host_name,
        first_seen=_timestamp(guest.first) if guest.first else None,
        last_seen=_timestamp(guest.last) if guest.last else None,
        files=guest.files,
        tenant=guest.tenant,
        certificate=guest.certificate,
        certificate_ends=_timestamp(guest.certificate_ends) if guest.certificate_ends else None,
    )


def _file_message(file: HeldFile, word: Verdict | None) -> exposure_pb2.GuestFile:
    digest, first, last = file
    return exposure_pb2.GuestFile(
        sha256=digest,
        first=_timestamp(first),
        last=_timestamp(last),
        outcome=verdict_pb2.Outcome.ValueType(0 if word is None else int(word.disposition)),
        threat="" if word is None else word.threat,
    )


def _timestamp(seconds: int) -> Timestamp:
    return Timestamp(seconds=seconds)
