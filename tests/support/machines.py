"""Hosts and their machines, for tests."""

from appliance.domain.vm import HostAgent, HostVm, VmPower

HOST, OTHER_HOST = "aaaaaaaa-0000-4000-8000-000000000001", "aaaaaaaa-0000-4000-8000-000000000002"
WEB, DB = "bbbbbbbb-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"


def agent(host: str = HOST, instance: bytes = b"i" * 16, author: str = "host-agent anna") -> HostAgent:
    """The host agent of a host."""
    return HostAgent(host, f"host-{host[-1]}", author, instance)


def running(uuid: str = WEB, name: str = "web", tenant: str = "") -> HostVm:
    """A machine that runs."""
    return HostVm(uuid, name, VmPower.RUNNING, tenant)


def off(uuid: str = WEB, name: str = "web") -> HostVm:
    """One that is off."""
    return HostVm(uuid, name, VmPower.OFF)
