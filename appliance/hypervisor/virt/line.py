"""A host's libvirt for parts that run on one loop: asked in a thread, within a deadline."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from appliance.hypervisor.virt.connection import VirtError, VirtHost

T = TypeVar("T")

ASK_SECONDS = 30.0


class HostLine:
    """The way to one host. Who follows its events opens it; while it is gone, none answers.

    uuid, name: of the host, "" before it was there. listed: all of its machines are known, and followed.
    """

    def __init__(self, uri: str) -> None:
        """uri: as libvirt writes it."""
        self.uri = uri
        self.host: VirtHost | None = None
        self.uuid = ""
        self.name = ""
        self.listed = False

    async def ask(self, question: Callable[[VirtHost], T], seconds: float = ASK_SECONDS) -> T:
        """Return what a question gives, which blocks: `await line.ask(vms)`. Raises VirtError."""
        host = self.host
        if host is None:
            raise VirtError(f"libvirt at {self.uri} is not connected now: it is tried again")
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.to_thread(question, host)
        except TimeoutError:
            raise VirtError(f"libvirt at {self.uri} did not answer within {seconds:g} s") from None
