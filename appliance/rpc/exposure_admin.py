"""The ExposureAdministration service: which guests hold a file, which guests there are, what one holds."""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, cast

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from lightagent.v1 import exposure_pb2, exposure_pb2_grpc, verdict_pb2

from appliance.domain.caller import Caller
from appliance.domain.policy import DEFAULT_TENANT
from appliance.domain.verdict import Verdict
from appliance.rpc.admin_calls import (
    CallerOf,
    ControlRefused,
    answered,
    checked_digest,
    checked_limit,
    refusals,
    tenant_of,
)
from appliance.rpc.admin_turns import Turns
from appliance.rpc.identity import Context
from appliance.rpc.patience import Patience

DEFAULT_GUESTS, MAX_GUESTS = 100, 4096
DEFAULT_FILES, MAX_FILES = 100, 10_000_000
_FILES_OF_MESSAGE = 1000

HeldFile = tuple[bytes, int, int]  # digest, first and last in seconds since the epoch


@dataclass(frozen=True, slots=True)
class HolderView:
    """A guest that holds a digest. first, last: seconds since the epoch."""

    guest: str
    first: int
    last: int
    attached: bool
    tenant: str = DEFAULT_TENANT


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
    tenant: str = DEFAULT_TENANT
    certificate: str = ""
    certificate_ends: int = 0


class ExposureControl(Protocol):
    """What the SVM knows of guests and what they hold. tenant: whose guests, "" for all."""

    async def holders(self, digest: bytes, tenant: str) -> Sequence[HolderView]:
        """Who holds a digest of 32 bytes, the guest that was seen last first."""

    def guests(self, tenant: str) -> Iterator[GuestSeen]:
        """Every guest, those that are attached first, then the one that was seen last.

        What is known of one is looked up when it is its turn.
        """

    def tenant_of(self, guest: str) -> str | None:
        """Whose guest one is that is, or was, here; None where there is none of the name."""

    def files(self, guest: str, tenant: str) -> AsyncIterator[Sequence[HeldFile]]:
        """What a guest holds, by digest, some at a time; nothing where it is another tenant's."""

    def words(self, digests: Sequence[bytes], tenant: str) -> Sequence[Verdict | None]:
        """What a tenant's guests are answered of digests, overrides before verdicts; None for nothing."""


class ExposureAdministrationService:
    """Serves administrators beside AdministrationService, on the same socket.

    Not derived from the generated servicer, whose types know streams as iterators only.
    """

    def __init__(
        self,
        control: ExposureControl,
        caller: CallerOf,
        turns: Turns | None = None,
        patience: Patience = Patience(),  # noqa: B008  it is frozen
    ) -> None:
        """caller: who calls; ends the call itself where nobody vouches."""
        self._patience = patience
        self.caller = caller
        self.turns = turns or Turns()
        self._control = control
        self.places = self.turns.files

    def add_to(self, server: grpc.aio.Server) -> None:
        """Have the server serve this."""
        servicer = cast("exposure_pb2_grpc.ExposureAdministrationServicer", self)
        exposure_pb2_grpc.add_ExposureAdministrationServicer_to_server(servicer, server)

    @answered
    async def GetExposure(
        self, request: exposure_pb2.GetExposureRequest, caller: Caller
    ) -> exposure_pb2.GetExposureReply:
        """Answer who holds a digest."""
        tenant = tenant_of(caller, request.tenant)
        holders = await self._control.holders(checked_digest(request.sha256), tenant)
        return exposure_pb2.GetExposureReply(
            holders=[
                exposure_pb2.Holder(
                    guest=holder.guest,
                    first=_timestamp(holder.first),
                    last=_timestamp(holder.last),
                    attached=holder.attached,
                    tenant=holder.tenant,
                )
                for holder in holders
            ]
        )

    @answered
    async def ListGuests(
        self, request: exposure_pb2.ListGuestsRequest, caller: Caller
    ) -> exposure_pb2.ListGuestsReply:
        """Answer which guests there are."""
        limit = checked_limit(request.limit, DEFAULT_GUESTS, MAX_GUESTS)
        guests = islice(self._control.guests(tenant_of(caller, request.tenant)), limit)
        reply = exposure_pb2.ListGuestsReply()
        await self.turns.each(guests, lambda guest: reply.guests.append(_guest_message(guest)))
        return reply

    async def ListGuestFiles(self, request: exposure_pb2.ListGuestFilesRequest, context: Context) -> None:
        """Send what a guest holds."""
        caller = await self.caller(context)
        async with refusals(context):
            with self.places.one(caller):
                tenant = self._control.tenant_of(request.guest)
                if tenant is None or not caller.sees(tenant):
                    raise ControlRefused(f"no guest {request.guest[:80]!r} is known: see `svm guests list`")
                limit = checked_limit(request.limit, DEFAULT_FILES, MAX_FILES)
                await self._send(request, tenant, limit, context)

    async def _send(
        self, request: exposure_pb2.ListGuestFilesRequest, tenant: str, limit: int, context: Context
    ) -> None:
        async for held in self._control.files(request.guest, tenant):
            for start in range(0, len(held), _FILES_OF_MESSAGE):
                some = held[start : start + _FILES_OF_MESSAGE]
                words = self._control.words([digest for digest, _, _ in some], tenant)
                files = [
                    _file_message(file, word)
                    for file, word in zip(some, words, strict=True)
                    if not request.malicious or (word is not None and word.disposition.is_detection)
                ][:limit]
                if files:
                    await self._patience.send(context, exposure_pb2.ListGuestFilesReply(files=files))
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
