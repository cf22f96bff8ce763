"""A daemon's orders in tests: wired as in the program, on a real link, over a tree of its own."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

from lightagent.v1 import guest_pb2

from guest_stub.decisions import Decisions
from guest_stub.keeping import Keeper
from guest_stub.ordered.orders import Orders
from guest_stub.ordered.place import Place
from guest_stub.ordered.running import Tools
from guest_stub.outcome import Outcome
from guest_stub.standing import StandingLine
from guest_stub.svm_link.values import HelloLabels, LinkListener, Program
from tests.support.guest_side_server import Behaviour, GuestSideServer, serving
from tests.support.held_files import until
from tests.support.stub_scans import Told, store_settings

LABELS = HelloLabels("1.0", program=Program.DAEMON)


def name(number: int) -> bytes:
    """What a scan is called by."""
    return bytes([number]) * 16


def task(number: int, *paths: Path | str, cancelled: bool = False) -> guest_pb2.ScanTask:
    """An order."""
    return guest_pb2.ScanTask(
        scan=name(number), paths=[str(path).encode() for path in paths], cancelled=cancelled
    )


@dataclass
class Daemon:
    """Orders as the daemon has them. top: a tree of five files, all that is protected."""

    server: GuestSideServer
    orders: Orders
    line: StandingLine
    report: Told
    top: Path

    async def order(self, *tasks: guest_pb2.ScanTask) -> None:
        """Tell of scans."""
        await self.server.tell(*(guest_pb2.AttachReply(scan_task=each) for each in tasks))

    async def ended(self, number: int) -> guest_pb2.ScanStatus:
        """How a scan has ended."""
        await until(lambda: self.server.states(name(number))[-1:] not in ([], ["WAITING"], ["RUNNING"]))
        return [each for each in self.server.scans if each.scan == name(number)][-1]


@asynccontextmanager
async def daemon(
    tmp_path: Path, grants: bool = True, tasks: Sequence[guest_pb2.ScanTask] = (), watched: bool = True
) -> AsyncIterator[Daemon]:
    """A daemon that is attached to an SVM which knows its files."""
    top = tmp_path / "top"
    top.mkdir()
    behaviour = Behaviour(grants=grants, tasks=list(tasks))
    async with serving(tmp_path / "svm.sock", behaviour) as server:
        for number in range(5):
            content = b"content %d" % number
            (top / f"f{number}").write_bytes(content)
            server.known[hashlib.sha256(content).digest()] = Outcome.NOT_DETECTED
        with closing(Decisions(store_settings(tmp_path / "state"))) as decisions:
            listeners: list[LinkListener] = []
            line, keeper, report = StandingLine(server.target, LABELS, listeners), Keeper(decisions), Told()
            roots = (str(top),) if watched else ()
            orders = Orders(Tools(line, decisions, keeper, report, lambda: Place(roots, ("f4",), ())))
            listeners.extend([keeper, orders])
            orders.begin()
            linking = asyncio.get_running_loop().create_task(line.run())
            try:
                await until(lambda: line.current is not None)
                yield Daemon(server, orders, line, report, top)
            finally:
                await orders.close()
                linking.cancel()
                await asyncio.gather(linking, return_exceptions=True)
                await keeper.close()
