"""What parts of `svm-host serve` are given in a test, over libvirt's own test host."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from appliance.hypervisor.changes import Changes
from appliance.hypervisor.serving import Part, Serving
from appliance.hypervisor.settings import HostSettings, LibvirtSettings, SvmSettings
from appliance.hypervisor.svm_line import SvmLine
from appliance.hypervisor.virt.connection import VirtHost
from appliance.hypervisor.virt.line import HostLine
from appliance.rpc.admin_client import AdminClient
from tests.support.virt_test_host import own_test_host


@dataclass
class SocketSvm(SvmLine):
    """The way to an SVM on a socket. path: of it."""

    path: Path
    opened: list[AdminClient] = field(default_factory=list)

    def client(self) -> AdminClient:
        """A new connection, that `close` ends."""
        if not self.opened:
            client = AdminClient(str(self.path), 5.0)
            client.__enter__()
            self.opened.append(client)
        return self.opened[0]

    def close(self) -> None:
        """End it."""
        for client in self.opened:
            client.__exit__(None, None, None)
        self.opened.clear()


@asynccontextmanager
async def serving_over(directory: Path, svm: Path | None = None) -> AsyncIterator[tuple[Serving, HostLine]]:
    """One whose host is open and not followed. svm: the socket of an SVM."""
    uri = own_test_host(directory)
    server = SvmSettings("127.0.0.1:1" if svm else "", directory)
    settings = HostSettings(directory / "agent", LibvirtSettings((uri,)), server)
    line = HostLine(uri)
    way = SocketSvm(svm) if svm else SvmLine(server)
    with VirtHost.open(uri) as line.host:
        yield Serving(settings, {uri: line}, Changes(), way), line
        way.close()


@asynccontextmanager
async def at_work(part: Part) -> AsyncIterator[None]:
    """A part that runs."""
    work = asyncio.get_running_loop().create_task(part.run())
    try:
        yield
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
