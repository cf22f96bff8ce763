"""libvirt, opened and asked."""

import libvirt
import pytest

from appliance.hypervisor.virt.connection import VirtError, VirtHost, told
from tests.support.failing_libvirt import refused


def test_a_host_is_open_until_it_is_let_go_of() -> None:
    """Who asks it after that is told so."""
    with VirtHost.open("test:///default") as host:
        assert host.connection.isAlive()
    with pytest.raises(VirtError, match=r"the list failed: .*connection"), told("the list failed"):
        host.connection.listAllDomains()


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("qemu+unix:///system?socket=/nowhere", "no libvirt answers at .* start libvirtd"),
        ("nonsense", "cannot be used .* such as qemu:///system"),
    ],
)
def test_what_cannot_be_opened_is_a_sentence(uri: str, sentence: str) -> None:
    """It says what to do."""
    with pytest.raises(VirtError, match=sentence):
        VirtHost.open(uri)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (libvirt.VIR_ERR_AUTH_FAILED, "authentication failed: access denied by policy"),
        (libvirt.VIR_ERR_AUTH_CANCELLED, "authentication cancelled: user cancelled authentication process"),
        (
            libvirt.VIR_ERR_AUTH_UNAVAILABLE,
            "authentication unavailable: no polkit agent available to authenticate action "
            "'org.libvirt.unix.manage'",
        ),
        (libvirt.VIR_ERR_ACCESS_DENIED, "access denied: 'connect' denied access"),
        (
            libvirt.VIR_ERR_DBUS_SERVICE,
            "error from service: GDBus.Error:org.freedesktop.DBus.Error.ServiceUnknown: The name "
            "org.freedesktop.PolicyKit1 was not provided by any .service files",
        ),
        (
            libvirt.VIR_ERR_INTERNAL_ERROR,
            "internal error: Unable to get system bus connection: Could not connect: No such file",
        ),
        (
            libvirt.VIR_ERR_SYSTEM_ERROR,
            "Failed to connect socket to '/var/run/libvirt/libvirt-sock': Permission denied",
        ),
    ],
)
def test_who_has_no_right_is_told_who_has(monkeypatch: pytest.MonkeyPatch, code: int, said: str) -> None:
    """Whatever libvirt refuses with: with polkit and without, by the mode of its socket, by its own rules."""

    def refuse(_uri: str) -> libvirt.virConnect:
        raise refused(code, said)

    monkeypatch.setattr(libvirt, "open", refuse)
    with pytest.raises(VirtError) as caught:
        VirtHost.open("qemu:///system")
    assert caught.value.code == code
    assert str(caught.value) == (
        f"libvirt at qemu:///system gives no right ({said}): be root or of the group libvirt"
    )


def test_who_has_no_right_to_one_thing_is_told_who_has() -> None:
    """libvirt's rules of access let him in, and refuse that."""
    said = "access denied: 'network' denied 'start' access"
    sentence = f"^no network was made: {said}: be root or of the group libvirt$"
    with pytest.raises(VirtError, match=sentence), told("no network was made"):
        raise refused(libvirt.VIR_ERR_ACCESS_DENIED, said)


def test_a_connection_that_went_is_opened_anew() -> None:
    """One that is there stays; where nothing comes back that is told."""
    with VirtHost.open("test:///default") as host:
        first = host.connection
        assert not host.revive(0.0)
        assert host.connection is first
        first.close()
        assert host.revive(0.0)
        assert host.connection.isAlive()
        host.connection.close()
        host.uri = "qemu+unix:///system?socket=/nowhere"
        with pytest.raises(
            VirtError, match=r"libvirt went and did not come back in 0.3 s: no libvirt answers"
        ):
            host.revive(0.3)
        host.connection = VirtHost.open("test:///default").connection


def test_an_error_of_libvirt_keeps_its_code() -> None:
    """Who needs to know which one it was is told."""
    with (
        VirtHost.open("test:///default") as host,
        pytest.raises(VirtError) as caught,
        told("no such one"),
    ):
        host.connection.lookupByName("nobody")
    assert caught.value.code == libvirt.VIR_ERR_NO_DOMAIN
    assert str(caught.value).startswith("no such one: ")
