"""The parts of `svm-host serve`, side by side."""

import ast
import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from structlog.testing import capture_logs

from appliance.domain.vm import VmPower
from appliance.hypervisor import serving
from appliance.hypervisor.inventory.following import Follower
from appliance.hypervisor.inventory.reporting import Reporter
from appliance.hypervisor.serving import Makers, Serving, serve
from appliance.hypervisor.settings import HostSettings, LibvirtSettings, SvmSettings
from tests.support.commands import ROOT
from tests.support.exposure_side_server import ExposureSide, exposure_side
from tests.support.host_serving import SocketSvm
from tests.support.machines import DB, WEB
from tests.support.svm import until
from tests.support.virt_test_host import own_test_host


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


@asynccontextmanager
async def served(directory: Path, side: ExposureSide, *uris: str) -> AsyncIterator[Serving]:
    """Hosts that are followed, and an SVM that is told of them."""
    settings = HostSettings(directory / "agent", LibvirtSettings(uris), SvmSettings("127.0.0.1:1", directory))
    stopped, given, svm = asyncio.Event(), list[Serving](), SocketSvm(side.path)

    def follow(context: Serving) -> Follower:
        given.append(context)
        return Follower(context)

    parts: Makers = [follow, lambda context: Reporter(replace(context, svm=svm))]
    work = asyncio.get_running_loop().create_task(serve(settings, stopped, lambda: None, parts))
    try:
        await until(lambda: bool(given), "it has begun")
        yield given[0]
    finally:
        stopped.set()
        await work
        svm.close()


def told(side: ExposureSide) -> dict[str, dict[str, VmPower]]:
    """By host what was told of it last: how its machines stand, by their names."""
    return {agent.host: {vm.name: vm.power for vm in vms} for agent, vms in side.hosts.reported}


async def test_several_hosts_are_followed_side_by_side(tmp_path: Path) -> None:
    """Each machine is told under its host. Of one that goes that is said; the others are followed on."""
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    one, other = own_test_host(tmp_path / "one", {"web": WEB}), own_test_host(tmp_path / "other", {"db": DB})
    quick = patch("appliance.hypervisor.inventory.following.LONGEST_PAUSE", 0.01)
    with exposure_side(tmp_path) as side, quick, capture_logs() as logs:
        async with served(tmp_path, side, one, other) as context:
            going, staying = context.hosts[one], context.hosts[other]
            await until(lambda: len(told(side)) == 2, "both are told")
            on = VmPower.RUNNING
            assert told(side) == {going.uuid: {"test": on, "web": on}, staying.uuid: {"test": on, "db": on}}

            (tmp_path / "one" / "node.xml").unlink()  # it is not to be opened anew
            gone, going.host = going.host, None  # no question is answered any more
            assert gone is not None
            await asyncio.to_thread(gone.connection.lookupByName("web").suspend)
            await until(lambda: len(gone_hosts(logs)) > 1, "it is said that it went, and why it stays so")
            await staying.ask(lambda host: host.connection.lookupByName("db").destroy())
            await until(lambda: told(side)[staying.uuid]["db"] == VmPower.OFF, "the other is followed")
            before = len(side.hosts.reported)
            await staying.ask(lambda host: host.connection.lookupByName("db").create())
            await until(lambda: told(side)[staying.uuid]["db"] == on, "and on")
            assert {agent.host for agent, _ in side.hosts.reported[before:]} == {staying.uuid}

            own_test_host(tmp_path / "one", {"new": WEB})
            await until(lambda: told(side)[going.uuid] == {"test": on, "new": on}, "it is there again")
    assert set(gone_hosts(logs)) == {one}


def gone_hosts(logs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of which it is said that they are gone."""
    return [each["host"] for each in logs if each["event"] == "host is gone"]


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
