"""How a machine is protected."""

import pytest

from appliance.domain.vm import HostAgent, HostVm, Protection, VmPower, protection_of

OFF, ON = VmPower.OFF, VmPower.RUNNING


@pytest.mark.parametrize(
    ("vm", "attached", "enrolled", "protection"),
    [
        (HostVm("u", "a", ON), True, True, Protection.PROTECTED),
        (HostVm("u", "a", ON), False, True, Protection.SILENT),
        (HostVm("u", "a", ON), False, False, Protection.NOT_ENROLLED),
        (HostVm("u", "a", OFF), False, True, Protection.OFF),
        (HostVm("u", "a", OFF), True, True, Protection.OFF),  # its copy runs on another host
        (HostVm("u", "a", ON, excluded=True), False, False, Protection.EXCLUDED),
        (HostVm("u", "a", ON, svm=True), False, False, Protection.SVM),
    ],
)
def test_how_a_machine_is_protected(
    vm: HostVm, attached: bool, enrolled: bool, protection: Protection
) -> None:
    """By its host's word, and by whether its stub is attached."""
    assert protection_of(vm, attached, enrolled) is protection


def test_only_what_runs_and_is_to_be_protected_is_wanting() -> None:
    """Nobody has to do anything about the others."""
    assert [each for each in Protection if each.is_wanting] == [Protection.SILENT, Protection.NOT_ENROLLED]


def test_an_agent_is_told_by_its_certificate_and_its_state() -> None:
    """Two of the same certificate are two; what it calls its host is a label."""
    agent = HostAgent("h", "host-1", "host-agent a", b"1" * 16)
    assert agent.is_same(HostAgent("h", "renamed", "host-agent a", b"1" * 16))
    assert not agent.is_same(HostAgent("h", "host-1", "host-agent a", b"2" * 16))
    assert not agent.is_same(HostAgent("h", "host-1", "host-agent b", b"1" * 16))
