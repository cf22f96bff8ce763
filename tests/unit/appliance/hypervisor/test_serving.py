"""The parts of `svm-host serve`, side by side."""

import asyncio

import pytest

from appliance.hypervisor import serving
from appliance.hypervisor.serving import Serving, serve
from appliance.hypervisor.settings import HostSettings


class Broken:
    """Fails once, then ends the serve."""

    def __init__(self, stopped: asyncio.Event) -> None:
        self.stopped = stopped
        self.runs = 0

    async def run(self) -> None:
        """Fail, or end it."""
        self.runs += 1
        if self.runs == 1:
            raise ZeroDivisionError("a fault of the program")
        self.stopped.set()
        await asyncio.Event().wait()


async def test_a_fault_in_one_part_ends_neither_it_nor_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is begun again; the end comes when it is told to stop."""
    monkeypatch.setattr(serving, "AGAIN_SECONDS", 0.0)
    stopped, given, readied = asyncio.Event(), list[Serving](), list[bool]()
    part = Broken(stopped)

    def make(context: Serving) -> Broken:
        given.append(context)
        return part

    async with asyncio.timeout(30):
        await serve(HostSettings(), stopped, lambda: readied.append(True), [make])
    assert part.runs == 2
    assert readied == [True]
    assert list(given[0].hosts) == ["qemu:///system"]
