"""The parts of `svm-host serve`, side by side."""

import ast
import asyncio
import re

import pytest

from appliance.hypervisor import serving
from appliance.hypervisor.serving import Serving, serve
from appliance.hypervisor.settings import HostSettings
from tests.support.commands import ROOT


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


def events_of_the_sources() -> set[str]:
    """Every event that a module of svm-host writes."""
    calls = [
        node
        for path in (ROOT / "appliance" / "hypervisor").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    return {
        str(call.args[0].value)
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "log"
        and call.args
        and isinstance(call.args[0], ast.Constant)
    }


def test_the_documentation_has_every_line_of_the_log() -> None:
    """docs/inventory.md lists the events that an operator may look for, and no others."""
    text = (ROOT / "docs" / "inventory.md").read_text()
    table = text.partition("| event | level |")[2]
    cells = re.findall(r"^\| (`.+?`) \|", table, re.MULTILINE)
    assert {event for cell in cells for event in re.findall("`(.+?)`", cell)} == events_of_the_sources()
