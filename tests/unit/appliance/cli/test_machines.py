"""Guests and their machines, joined."""

from lightagent.v1 import exposure_pb2, hosts_pb2

from appliance.cli.machines import joined


def machine(uuid: str, host: str, protection: str = "protected") -> hosts_pb2.KnownVm:
    """One of that UUID on a host."""
    return hosts_pb2.KnownVm(vm=hosts_pb2.HostVm(uuid=uuid, name="vm"), host=host, protection=protection)


def test_a_guest_stands_with_each_machine_of_its_uuid() -> None:
    """As it is in a migration; who is in no machine stands alone, and so does a machine without a guest."""
    guests = [exposure_pb2.KnownGuest(guest=name) for name in ("uid-0", "a")]
    machines = [machine("a", "host-1"), machine("b", "host-1", "silent"), machine("a", "host-2", "off")]
    found = list(joined(guests, machines))
    assert [(entry.guest and entry.guest.guest, entry.machine and entry.machine.host) for entry in found] == [
        ("uid-0", None),
        ("a", "host-1"),
        ("a", "host-2"),
        (None, "host-1"),
    ]
    assert [entry.is_unprotected for entry in found] == [False, False, False, True]


def test_of_a_host_without_a_name_its_uuid_is_shown() -> None:
    """And a word that this program does not know as it is."""
    [entry] = joined([], [machine("a", "host-uuid", "of-tomorrow")])
    assert list(entry.row())[:3] == ["a", "of-tomorrow", "vm on host-uuid"]
    assert entry.fields()["machine"]["power"] is None
