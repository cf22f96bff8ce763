"""The machines of a real libvirt, known to a real SVM over TLS by a real host agent."""

import asyncio
from contextlib import ExitStack, suppress
from pathlib import Path

import libvirt

from appliance.hypervisor.virt.connection import VirtHost
from tests.support.contents import EICAR
from tests.support.domains import (
    PROTECTION,
    defined,
    domain,
    host_of_machines,
    interface,
    states_of,
    svm_domain,
)
from tests.support.host_agent import HostAgent, Site, host_agent, site
from tests.support.kvm_host import KvmHost
from tests.support.machines import OTHER_HOST
from tests.support.svm import digest_of
from tests.support.tls_guest import TlsGuest, attach

QUICK = "[inventory]\ngrace_seconds = 1\nreport_seconds = 2\n"
WEB = "bbbbbbbb-0000-4000-8000-000000000001"


async def agent_of(here: Site, machines: KvmHost, extra: str = "", name: str = "host-1") -> HostAgent:
    """A host agent with a certificate. The SVM serves."""
    identity = await here.certificate("host-agent", name)
    return host_agent(here.directory / f"agent-{name}", machines.uri, here, identity, extra)


async def test_every_machine_is_known_with_how_it_is_protected(
    host: VirtHost, machines: KvmHost, tmp_path: Path
) -> None:
    """And what changes, over a restart of libvirt, of the host agent and of the SVM."""
    defined(host, domain("web", marks="tenant='acme'", uuid=WEB))
    defined(host, domain("db-1"), start=False)
    defined(host, domain("printer", marks="excluded='yes'"))
    defined(host, svm_domain("kvmla-svm"), start=False)
    extra = '[machines]\ntenants = ["other=db-*"]\n'
    async with site(tmp_path / "svm", QUICK) as here:
        with ExitStack() as svm, ExitStack() as agent_runs:
            svm.enter_context(here.serving())
            agent = await agent_of(here, machines, extra)
            agent_runs.enter_context(agent.serving())
            first = {"web": "not-enrolled", "db-1": "off", "printer": "excluded", "kvmla-svm": "svm"}
            await here.until(here.protections, first)
            listed = await here.listed()
            assert {name: each["tenant"] for name, each in listed.items()} == {
                "web": "acme",
                "db-1": "other",
                "printer": None,
                "kvmla-svm": None,
            }
            assert listed["web"]["machine"]["power"] == "running"

            host.connection.lookupByName("db-1").create()
            await here.until(here.protections, first | {"db-1": "not-enrolled"})

            machines.kill_libvirtd()
            await agent.until_it_says("host is gone")
            machines.start_libvirtd()
            with VirtHost.open(machines.uri) as again:
                with suppress(libvirt.libvirtError):  # it may have gone with the libvirt that was killed
                    again.connection.lookupByName("db-1").destroy()
                defined(again, domain("new"))
            now = first | {"new": "not-enrolled"}
            await here.until(here.protections, now)

            svm.close()  # killed
            svm.enter_context(here.serving())
            await here.until(here.protections, now)  # it knows them by itself
            agent.kill()
            with VirtHost.open(machines.uri) as again:
                again.connection.lookupByName("new").destroy()
                again.connection.lookupByName("new").undefine()
            agent_runs.enter_context(agent.serving())
            await here.until(here.protections, first)
            assert agent.stop() == 0


async def test_of_two_hosts_one_goes_and_the_other_is_followed_on(
    host: VirtHost, machines: KvmHost, tmp_path: Path
) -> None:
    """Each machine is listed under its host. Of the one that is gone that is said, and of no other."""
    defined(host, domain("web"))
    with host_of_machines(OTHER_HOST) as others, VirtHost.open(others.uri) as other:
        db = other.connection.lookupByUUIDString(defined(other, domain("db")))
        async with site(tmp_path / "svm", QUICK) as here:
            with here.serving():
                identity = await here.certificate("host-agent", "host-1")
                agent = host_agent(tmp_path / "agent", (machines.uri, others.uri), here, identity)
                with agent.serving():
                    await here.until(here.protections, {"web": "not-enrolled", "db": "not-enrolled"})
                    hosts = {name: each["machine"]["host"] for name, each in (await here.listed()).items()}
                    assert hosts["db"] == OTHER_HOST != hosts["web"]

                    machines.kill_libvirtd()
                    await agent.until_it_says("host is gone", machines.uri)
                    db.destroy()
                    await here.until(here.protections, {"web": "not-enrolled", "db": "off"})
                    machines.start_libvirtd()
                    with VirtHost.open(machines.uri) as again:
                        defined(again, domain("new"), start=False)
                    await here.until(here.protections, {"web": "not-enrolled", "db": "off", "new": "off"})
                    assert (await here.listed())["new"]["machine"]["host"] == hosts["web"]
                gone = [line for line in agent.log.splitlines() if "host is gone" in line]
                assert not [line for line in gone if others.uri in line]


async def test_a_machine_that_is_left_unprotected_becomes_an_event(
    host: VirtHost, machines: KvmHost, tmp_path: Path
) -> None:
    """And another when its stub is attached; silent again, another."""
    defined(host, domain("web", marks="tenant='acme'", uuid=WEB))
    async with site(tmp_path / "svm", QUICK) as here:
        with here.serving():
            agent = await agent_of(here, machines)
            with agent.serving():

                async def kinds() -> list[str]:
                    return [kind for kind, _ in await here.events("vm-unprotected", "vm-protected")]

                await here.until(kinds, ["vm-unprotected"])
                guest = await here.enrolled(WEB)
                async with guest.connect(here.guests) as line:
                    await attach(line)
                    await here.until(here.protections, {"web": "protected"})
                    await here.until(kinds, ["vm-unprotected", "vm-protected"])
                await here.until(here.protections, {"web": "silent"})
                await here.until(kinds, ["vm-unprotected", "vm-protected", "vm-unprotected"])
                ran = await here.svm("guests", "list", "--unprotected")
                assert "stub silent" in ran.out


async def test_a_second_host_agent_is_refused(host: VirtHost, machines: KvmHost, tmp_path: Path) -> None:
    """By the SVM, with a sentence; in the same state directory at once. The first, started anew, is not."""
    async with site(tmp_path / "svm") as here:
        with here.serving():
            first = await agent_of(here, machines)
            second = await agent_of(here, machines, name="host-2")
            defined(host, domain("web"))
            # libvirt draws a UUID for this host; both have to see the same one.
            with first.serving():
                await here.until(here.protections, {"web": "not-enrolled"})
                with second.serving():
                    await second.until_it_says(
                        "SVM is not told", "host-1 at", "stop one of the two host agents"
                    )
                ran = await asyncio.to_thread(first.run, "serve")
                assert (ran.code, "another svm-host serves from" in ran.err) == (1, True)
            with first.serving():
                host.connection.lookupByName("web").destroy()
                await here.until(here.protections, {"web": "off"})


async def test_who_is_no_host_agent_is_told_so(host: VirtHost, machines: KvmHost, tmp_path: Path) -> None:
    """As is who finds no SVM; both go on trying."""
    async with site(tmp_path / "svm") as here:
        with ExitStack() as svm:
            svm.enter_context(here.serving())
            identity = await here.certificate("auditor", "anna")
            agent = host_agent(tmp_path / "agent", machines.uri, here, identity)
            with agent.serving():
                await agent.until_it_says("SVM is not told", "auditor")
                svm.close()
                await agent.until_it_says("SVM is not told", "no SVM answers")


async def detected(here: Site, guest: TlsGuest) -> None:
    """A guest asks about something malicious, sends it, and is told."""
    async with guest.connect(here.guests) as line:
        await attach(line)
        reply = await line.ask(digest_of(EICAR))
        if reply.details and reply.details[0].lease:
            await line.send(reply.details[0].lease, EICAR)


async def test_after_a_detection_a_machine_is_cut_off_where_the_settings_say_so(
    host: VirtHost, machines: KvmHost, tmp_path: Path
) -> None:
    """Also where the host agent did not run just then; what was released stays so."""
    uuid = defined(host, domain("web", interface(1, PROTECTION) + interface(2), uuid=WEB))
    other = defined(host, domain("db", interface(3)))
    async with site(tmp_path / "svm") as here:
        with here.serving():
            guest = await here.enrolled(uuid)
            await detected(here, guest)  # before there was a host agent: that is left alone
            agent = await agent_of(here, machines, '[isolation]\non = ["malicious"]\n')
            with agent.serving():
                await here.until(here.protections, {"web": "silent", "db": "not-enrolled"})
                await here.until(lambda: _there(agent, "position.json"), True)
            second = await here.enrolled(other)
            await detected(here, second)
            assert states_of(host, other)["live"] == [True]
            with agent.serving():
                await here.until(lambda: _links(host, other), [False])
                assert states_of(host, uuid)["live"] == [True, True]

                async def isolated() -> list[str]:
                    return [text for _, text in await here.events("vm-isolated")]

                await here.until(
                    isolated,
                    [
                        f"db on {_name(host)}: cut off by policy: malicious Eicar-Test-Signature "
                        f"(event {await _number(here)})"
                    ],
                )
                assert (await here.listed())["db"]["machine"]["isolated"]

                host.connection.lookupByUUIDString(other).attachDeviceFlags(interface(4), 1)
                await here.until(lambda: _links(host, other), [False, False])

                ran = await asyncio.to_thread(agent.run, "release", "db")
                assert (ran.code, ran.err) == (0, "")
                assert states_of(host, other)["live"] == [True, True]
                assert [kind for kind, _ in await here.events("vm-released")] == ["vm-released"]
            with agent.serving():
                await agent.until_it_says("host is followed")
                await here.until(lambda: _isolated_flag(here), False)
                assert states_of(host, other)["live"] == [True, True]


async def _there(agent: HostAgent, name: str) -> bool:
    return (agent.directory / "state" / name).exists()


async def _links(host: VirtHost, uuid: str) -> list[bool]:
    return await asyncio.to_thread(lambda: states_of(host, uuid)["live"])


async def _isolated_flag(here: Site) -> bool:
    return bool((await here.listed())["db"]["machine"]["isolated"])


def _name(host: VirtHost) -> str:
    return str(host.connection.getHostname())


async def _number(here: Site) -> int:
    found = (await here.svm("events", "--json", "--kind", "detection")).json
    return int(found[-1]["number"])


async def test_by_order_without_anything_that_serves(
    host: VirtHost, machines: KvmHost, tmp_path: Path
) -> None:
    """The commands do it themselves; the SVM is told when it can be."""
    uuid = defined(host, domain("web", interface(1, PROTECTION) + interface(2)))
    async with site(tmp_path / "svm") as here:
        with ExitStack() as svm:
            svm.enter_context(here.serving())
            agent = await agent_of(here, machines)
            with agent.serving():
                await here.until(here.protections, {"web": "not-enrolled"})
            svm.close()
            ran = await asyncio.to_thread(agent.run, "isolate", "web", "--reason", "it smells")
            assert (ran.code, ran.out) == (0, f"web ({uuid}) is cut off: 1 links\n")
            assert "the SVM is told of it later" in ran.err
            assert states_of(host, uuid)["live"] == [True, False]
            svm.enter_context(here.serving())
            with agent.serving():

                async def told() -> list[str]:
                    return [text for _, text in await here.events("vm-isolated")]

                await here.until(told, [f"web on {_name(host)}: cut off by svm-host isolate: it smells"])
            assert (await asyncio.to_thread(agent.run, "release", uuid)).code == 0
            assert (await asyncio.to_thread(agent.run, "release", uuid)).code == 1
            ran = await asyncio.to_thread(agent.run, "isolate", "nobody")
            assert (ran.code, ran.err) == (
                2,
                "svm-host: no host has a machine 'nobody': see `svm-host vms`\n",
            )
