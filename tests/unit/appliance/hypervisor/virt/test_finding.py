"""The machine that somebody means, on libvirt's own test hosts."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from appliance.hypervisor.virt.connection import VirtError, VirtHost
from appliance.hypervisor.virt.finding import MOST_TOLD, NoMachine, find, uuid_in
from tests.support.virt_test_host import UUID, own_test_host

MALLORY = "aaaaaaaa-0000-4000-8000-000000000001"
WEB = "aaaaaaaa-0000-4000-8000-000000000002"
GONE = "cccccccc-0000-4000-8000-000000000003"


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[list[VirtHost]]:
    """Two. Both have `test`, of one UUID; one has machines that are called by UUIDs."""
    others = ({UUID: MALLORY, GONE: WEB}, {"web": WEB})
    with ExitStack() as stack:
        opened = []
        for number, more in enumerate(others):
            directory = tmp_path / str(number)
            directory.mkdir()
            opened.append(stack.enter_context(VirtHost.open(own_test_host(directory, more))))
        yield opened


def test_what_has_the_form_of_a_uuid_is_one_and_no_name(hosts: list[VirtHost]) -> None:
    """However it is written: who calls his machine by another's UUID is not taken for that one."""
    for called in (UUID, UUID.upper(), UUID.replace("-", "")):
        assert find(hosts[:1], called)[1].name == "test"
    assert find(hosts[:1], MALLORY)[1].uuid == MALLORY
    with pytest.raises(
        NoMachine, match=f"the UUID {GONE}; one on .* has it for a name, and is .* alone: {WEB}"
    ):
        find(hosts, GONE)
    with pytest.raises(
        NoMachine, match="no host has a machine with the UUID cccccccc-0000-4000-8000-000000000004: see"
    ):
        find(hosts, GONE[:-1] + "4")
    assert [uuid_in(each) for each in ("test", UUID[:-1], f"{UUID} ", UUID + "0", f"{UUID}\n")] == [""] * 5


def test_a_machine_is_found_by_its_name_on_the_host_that_has_it(hosts: list[VirtHost]) -> None:
    """A name that there is not is told."""
    host, vm = find(hosts, "web")
    assert (host, vm.uuid) == (hosts[1], WEB)
    with pytest.raises(NoMachine, match=r"no host has a machine 'nobody': see `svm-host vms`"):
        find(hosts, "nobody")


def test_of_several_none_is_taken(hosts: list[VirtHost], tmp_path: Path) -> None:
    """They are named, with what to give: the host where they are one, else the UUID."""
    places = f"{hosts[0].uri}, {hosts[1].uri}"
    for called in ("test", UUID):
        with pytest.raises(
            VirtError, match=rf"several hosts have the machine .*\({places}\): say which by --connect"
        ):
            find(hosts, called)
    with VirtHost.open(own_test_host(tmp_path, {"web": MALLORY})) as other:
        where = f"{WEB} on {hosts[1].uri}, {MALLORY} on {other.uri}"
        with pytest.raises(VirtError, match=rf"several machines are called 'web' \({where}\): give the UUID"):
            find([*hosts, other], "web")
        with pytest.raises(VirtError, match="and others"):
            find([hosts[1], other] * MOST_TOLD, "web")
