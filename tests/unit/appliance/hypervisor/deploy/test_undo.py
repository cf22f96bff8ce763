"""What was made is taken back."""

from appliance.hypervisor.deploy.undo import Undo
from appliance.hypervisor.virt.connection import VirtError


def test_the_last_is_taken_back_first_and_a_failure_stops_nothing() -> None:
    """What could not be taken back is told."""
    undo, done = Undo(), list[str]()

    def fails() -> None:
        raise VirtError("libvirt went away")

    undo.add("network a", lambda: done.append("a"))
    undo.add("volume b", fails)
    undo.add("machine c", lambda: done.append("c"))
    assert undo.run() == ["volume b: libvirt went away"]
    assert done == ["c", "a"]
    assert undo.run() == []


def test_one_reason_is_told_once() -> None:
    """With all that stays for it; and nothing is tried where it cannot be."""

    def fails() -> None:
        raise VirtError("libvirt went away")

    def told_of(undo: Undo) -> list[str]:
        undo.add("network a", fails)
        undo.add("volume b", fails)
        return undo.run()

    assert told_of(Undo()) == ["volume b, network a: libvirt went away"]
    assert told_of(Undo(fails)) == ["libvirt went away"]


def test_what_is_kept_is_not_taken_back() -> None:
    """All is well."""
    undo, done = Undo(), list[str]()
    undo.add("network a", lambda: done.append("a"))
    undo.keep()
    assert undo.run() == []
    assert done == []
