"""The ImageAdministration service: disk images ask as guests do, and their content is scanned as theirs.

Nothing of the way of a digest is done here anew: an image gets a session of its own, and `CheckCall` and
`ScanCall` serve it as they serve a guest's.
"""

import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import grpc
from google.protobuf.message import Message
from lightagent.v1 import guest_pb2, images_pb2

from appliance.domain.caller import Caller
from appliance.domain.guest import PUBLIC_SCOPE
from appliance.domain.image import MAX_IMAGE_BYTES, ImageScan, asker_of
from appliance.domain.policy import DEFAULT_TENANT, is_tenant
from appliance.domain.tenants import Tenants, unknown_tenant
from appliance.protection import Protection
from appliance.rpc import wire
from appliance.rpc.admin_calls import CallerOf
from appliance.rpc.admin_turns import Turns
from appliance.rpc.calls import Breach, Refused, Unattached, call_of, ends_as_said, parser
from appliance.rpc.check import CheckCall
from appliance.rpc.identity import Context, session_name
from appliance.rpc.images_context import ImageContext, ImageNotes, first_message
from appliance.rpc.places import NoPlace, Places
from appliance.rpc.scan import ScanCall
from appliance.rpc.sessions import Labels, Session, Sessions
from appliance.rpc.terms import Terms
from appliance.scanning.spool import Spool

_SESSION_BYTES = 8
_UUID_LETTERS = 36


class Around(Protocol):
    """The parts of the SVM that an image's calls need."""

    @property
    def sessions(self) -> Sessions:
        """Of guests."""

    @property
    def protection(self) -> Protection:
        """Who answers digests."""

    @property
    def spool(self) -> Spool:
        """Where contents have room."""

    @property
    def turns(self) -> Turns:
        """How many calls there may be."""


@dataclass(slots=True)
class _Image:
    """One that is looked at. caller: whose call it is."""

    session: Session
    caller: Caller


@dataclass(slots=True, eq=False)
class ImageAdministrationService:
    """Serves host agents and providers. notes: is told what was found, and what came of a scan."""

    around: Around
    terms: Terms
    tenants: Tenants
    notes: ImageNotes
    caller: CallerOf
    clock: Callable[[], float] = time.time
    _images: dict[str, _Image] = field(default_factory=dict)

    def add_to(self, server: grpc.aio.Server) -> None:
        """Have the server serve this."""
        most = self.terms.limits.message_kib << 10
        handlers = {
            "CheckImage": grpc.stream_stream_rpc_method_handler(
                self.CheckImage,
                request_deserializer=parser(images_pb2.CheckImageRequest, most),
                response_serializer=_serialized,
            ),
            "ScanContent": grpc.stream_unary_rpc_method_handler(
                self.ScanContent,
                request_deserializer=parser(guest_pb2.ScanRequest, most),
                response_serializer=_serialized,
            ),
        }
        service = images_pb2.DESCRIPTOR.services_by_name["ImageAdministration"].full_name
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))

    async def CheckImage(
        self, _requests: AsyncIterator[images_pb2.CheckImageRequest], context: Context
    ) -> None:
        """See images.proto."""
        caller = await self.caller(context)
        name = secrets.token_hex(_SESSION_BYTES)
        nobody = asker_of(name, PUBLIC_SCOPE, "")
        async with (
            ends_as_said(context, self.around.sessions, nobody),
            _placed(self.around.turns.images, caller),
        ):
            begin = await first_message(context)
            async with self._session(name, begin, caller) as (session, scan), call_of(session):
                await context.write(self._begun(name))
                wrapped = ImageContext(context, session, scan, self.around, self.notes)
                try:
                    call = CheckCall(wrapped.as_context(), session, self.around.protection, self.terms)
                    await call.run(self.around.sessions)
                finally:
                    wrapped.over()

    async def ScanContent(
        self, _requests: AsyncIterator[guest_pb2.ScanRequest], context: Context
    ) -> guest_pb2.ScanReply:
        """See images.proto."""
        caller = await self.caller(context)
        image = self._images.get(session_name(context))
        known = image is not None and image.caller == caller
        guest = image.session.guest if image is not None and known else asker_of("", PUBLIC_SCOPE, "")
        async with ends_as_said(context, self.around.sessions, guest):
            if image is None or not known:
                raise Unattached("no image of this caller is looked at under that session: CheckImage first")
            session = image.session
            if session.scans >= self.terms.limits.scan_streams:
                raise Refused(f"this image has {session.scans} ScanContent streams already: use those")
            session.scans += 1
            try:
                async with call_of(session):
                    call = ScanCall(context, session, self.around.protection, self.around.spool, self.terms)
                    await call.run(self.around.sessions)
            finally:
                session.scans -= 1
        return guest_pb2.ScanReply()

    @asynccontextmanager
    async def _session(
        self, name: str, begin: images_pb2.ImageScan, caller: Caller
    ) -> AsyncIterator[tuple[Session, ImageScan]]:
        """A session for the image, among those that end with the SVM."""
        scan, scope = self._wanted(begin, caller)
        labels = Labels(host_name=scan.label)
        session = Session(asker_of(name, scope, scan.tenant), labels, self.clock(), name)
        self._images[name] = _Image(session, caller)
        self.around.sessions.beside.add(session)
        try:
            yield session, scan
        finally:
            self.around.sessions.beside.discard(session)
            del self._images[name]
            session.end()

    def _wanted(self, begin: images_pb2.ImageScan, caller: Caller) -> tuple[ImageScan, int]:
        """What is to be scanned, and in which part of the cache. Raises CallEnded."""
        if not 1 <= len(begin.image.encode()) <= MAX_IMAGE_BYTES:
            raise Breach(f"image has {len(begin.image.encode())} bytes: give 1 to {MAX_IMAGE_BYTES}")
        machine = begin.machine
        if machine and (len(machine) != _UUID_LETTERS or not set(machine) <= set("0123456789abcdef-")):
            raise Breach("machine is no UUID in lower case with hyphens")
        label = wire.label(begin.image, MAX_IMAGE_BYTES)
        if begin.seed:
            if begin.tenant:
                raise Breach("an image that is seeded is everybody's: name no tenant")
            if caller.tenant:
                raise Unattached(f"{caller.author} is of one tenant: who seeds is of none")
            return ImageScan(label, machine, "", caller.author), PUBLIC_SCOPE
        tenant = begin.tenant or caller.tenant or DEFAULT_TENANT
        scope = self.tenants.scope_of(tenant) if is_tenant(tenant) and caller.sees(tenant) else None
        if scope is None:
            raise Unattached(unknown_tenant(tenant))
        return ImageScan(label, machine, tenant, caller.author), scope

    def _begun(self, name: str) -> images_pb2.CheckImageReply:
        limits = self.terms.limits
        terms = images_pb2.ImageTerms(
            session=name,
            max_file_bytes=min(limits.max_file_mib, limits.guest_spool_mib, limits.spool_mib) << 20,
            max_batch=limits.max_batch,
            max_chunk_bytes=wire.chunk_bytes(limits.message_kib << 10),
        )
        return images_pb2.CheckImageReply(begun=terms)


@asynccontextmanager
async def _placed(places: Places, caller: Caller) -> AsyncIterator[None]:
    """A place for an image. Raises Refused."""
    try:
        taken = places.one(caller)
        taken.__enter__()
    except NoPlace as error:
        raise Refused(str(error)) from error
    try:
        yield
    finally:
        taken.__exit__(None, None, None)


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()
