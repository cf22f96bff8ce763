"""An SVM's administration side with the ExposureAdministration service, for tests of it and of its commands.

As in `admin_side_server`; behind the service stands an ExposureControl whose answers a test sets.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from appliance.domain.policy import DEFAULT_TENANT
from appliance.domain.verdict import Verdict
from appliance.rpc.exposure_admin import ExposureAdministrationService, GuestSeen, HeldFile, HolderView
from tests.support.admin_side_server import AdminSide, RememberingControl, administrators


@dataclass
class SetExposure:
    """An ExposureControl. held: what each guest holds."""

    held_by: dict[bytes, list[HolderView]] = field(default_factory=dict)
    known: list[GuestSeen] = field(default_factory=list)
    held: dict[str, list[HeldFile]] = field(default_factory=dict)
    verdicts: dict[bytes, Verdict] = field(default_factory=dict)

    async def holders(self, digest: bytes, _tenant: str) -> Sequence[HolderView]:
        """As set."""
        return self.held_by.get(digest, [])

    def guests(self, _tenant: str) -> Iterator[GuestSeen]:
        """As set."""
        return iter(self.known)

    def tenant_of(self, guest: str) -> str | None:
        """Everybody's is the same of whom something is set."""
        return DEFAULT_TENANT if guest in self.held else None

    async def files(self, guest: str, _tenant: str) -> AsyncIterator[Sequence[HeldFile]]:
        """As set, in two parts."""
        half = len(self.held[guest]) // 2
        yield self.held[guest][:half]
        yield self.held[guest][half:]

    def words(self, digests: Sequence[bytes], _tenant: str) -> Sequence[Verdict | None]:
        """As set."""
        return list(map(self.verdicts.get, digests))


class ExposureSide(AdminSide):
    """A running administration side with exposure at `path`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, RememberingControl())
        self.exposure = SetExposure()

    async def _start(self) -> None:
        self._server = grpc.aio.server()
        await self._office.__aenter__()
        ExposureAdministrationService(self.exposure, administrators(self._office)).add_to(self._server)
        self._server.add_insecure_port(f"unix:{self.path}")
        await self._server.start()


@contextmanager
def exposure_side(directory: Path) -> Iterator[ExposureSide]:
    """Serve `directory`/admin.sock for the length of a test."""
    side = ExposureSide(directory / "admin.sock")
    side.start()
    try:
        yield side
    finally:
        side.stop()
