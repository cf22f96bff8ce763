"""Hosts that are followed: libvirt's own test host."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import libvirt
from structlog.testing import capture_logs

from appliance.hypervisor.changes import Change, Changes, VmGone, VmSeen
from appliance.hypervisor.inventory.following import Follower
from appliance.hypervisor.serving import Serving
from appliance.hypervisor.settings import HostSettings, LibvirtSettings, MachinesSettings
from appliance.hypervisor.svm_line import SvmLine
from appliance.hypervisor.virt.connection import VirtHost
from appliance.hypervisor.virt.events import open_followed
from appliance.hypervisor.virt.line import HostLine
from appliance.hypervisor.vm import Power
from tests.support.svm import DEADLINE, until
from tests.support.virt_test_host import UUID, own_test_host


@asynccontextmanager
async def following(directory: Path, uri: str) -> AsyncIterator[tuple[Serving, HostLine]]:
    """A follower at work."""
    machines = MachinesSettings(tenants=("acme=t*",))
    settings = HostSettings(directory, LibvirtSettings((uri,)), machines=machines)
    serving = Serving(settings, {uri: HostLine(uri)}, Changes(), SvmLine(settings.svm))
    work = asyncio.get_running_loop().create_task(Follower(serving).run())
    try:
        yield serving, serving.hosts[uri]
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def told(subscription: AsyncIterator[Change]) -> Change:
    """The next change."""
    return await asyncio.wait_for(anext(subscription), DEADLINE)


async def seen(subscription: AsyncIterator[Change]) -> VmSeen:
    """The next change, which is of a machine that is there."""
    change = await told(subscription)
    assert isinstance(change, VmSeen)
    return change


def machine(host: VirtHost) -> libvirt.virDomain:
    """The machine of the host."""
    return host.connection.lookupByName("test")


async def test_machines_are_told_as_they_change(tmp_path: Path) -> None:
    """All at first; that one stops, starts, and is gone."""
    uri = own_test_host(tmp_path)
    async with following(tmp_path, uri) as (serving, line):
        changes = serving.changes.subscribe()
        first = await seen(changes)
        assert (first.vm.name, first.vm.power, first.started) == ("test", Power.RUNNING, False)
        assert first.tenant == "acme"
        await until(lambda: line.listed, "the host is listed")
        assert line.uuid
        await line.ask(lambda host: machine(host).destroy())
        off = await seen(changes)
        assert (off.vm.power, off.vm.run) == (Power.OFF, -1)
        await line.ask(lambda host: machine(host).create())
        on = await seen(changes)
        assert (on.started, on.vm.power) == (True, Power.RUNNING)
        assert on.vm.run != first.vm.run
        await line.ask(lambda host: machine(host).destroy())
        await told(changes)
        await line.ask(lambda host: machine(host).undefine())
        assert await told(changes) == VmGone(uri, UUID)
        assert serving.changes.known() == []


async def test_a_machine_that_comes_anew_has_started(tmp_path: Path) -> None:
    """Unlike those that were there at first."""
    xml = "<domain type='test'><name>new</name><memory>8192</memory><os><type>hvm</type></os></domain>"
    async with following(tmp_path, own_test_host(tmp_path)) as (serving, line):
        changes = serving.changes.subscribe()
        assert not (await seen(changes)).started
        await until(lambda: line.listed, "the host is listed")
        await line.ask(lambda host: host.connection.createXML(xml))
        new = await seen(changes)
        assert (new.vm.name, new.vm.persistent, new.started) == ("new", False, True)


async def test_a_host_that_goes_is_opened_anew_and_what_was_missed_is_told(tmp_path: Path) -> None:
    """As when its libvirt was started anew."""
    with patch("appliance.hypervisor.inventory.following.FIRST_PAUSE", 0.01), capture_logs() as logs:
        async with following(tmp_path, own_test_host(tmp_path)) as (serving, line):
            await until(lambda: line.listed, "the host is listed")
            first = line.host
            [known] = serving.changes.known()
            # What is known and is not there, as if it had gone while nobody listened.
            serving.changes.publish(replace(known, vm=replace(known.vm, uuid="gone", name="gone")))
            changes = serving.changes.subscribe()
            assert {(await told(changes)).key[1] for _ in range(2)} == {UUID, "gone"}
            line.host = None  # no question is answered any more, which the follower finds out by the next
            assert first is not None
            await asyncio.to_thread(machine(first).suspend)
            assert await told(changes) == VmGone(line.uri, "gone")
            await until(lambda: line.listed and line.host is not first, "the host is listed anew")
    assert [each["event"] for each in logs].count("host is gone") == 1


async def test_a_host_that_is_not_there_is_told_once(tmp_path: Path) -> None:
    """And tried again and again."""
    uri = "qemu+unix:///system?socket=/nowhere/libvirt-sock"
    place = "appliance.hypervisor.inventory.following"
    with (
        patch(f"{place}.LONGEST_PAUSE", 0.01),
        capture_logs() as logs,
        patch(f"{place}.open_followed", wraps=open_followed) as tries,
    ):
        async with following(tmp_path, uri):
            await until(lambda: tries.call_count > 2, "it is tried again")
    assert [each["event"] for each in logs] == ["host is gone"]
    assert "start libvirtd" in logs[0]["why"]
