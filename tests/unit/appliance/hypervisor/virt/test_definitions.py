"""Machines of libvirt's own test host, defined, marked, started and stopped."""

from collections.abc import Iterator

import pytest

from appliance.hypervisor.virt import definitions
from appliance.hypervisor.virt.connection import VirtError, VirtHost

XML = """<domain type='test'><name>m</name><memory>65536</memory><os><type>hvm</type></os></domain>"""


@pytest.fixture
def host() -> Iterator[VirtHost]:
    """The host, which has a machine "test" that runs."""
    with VirtHost.open("test:///default") as opened:
        yield opened


def test_a_machine_is_made_and_removed(host: VirtHost) -> None:
    """It starts with the host; started twice it runs once."""
    assert definitions.defined(host, "m") is None
    definitions.define(host, "m", XML)
    found = definitions.defined(host, "m")
    assert found is not None
    assert (found.running, found.metadata, found.autostart) == (False, "", True)
    assert [definitions.start(host, "m") for _ in range(2)] == [True, False]
    for _ in range(2):
        definitions.forget(host, "m")
        assert definitions.defined(host, "m") is None


def test_a_machine_that_runs_is_stopped(host: VirtHost) -> None:
    """By itself where there is time; one that is off, or none, is stopped already."""
    assert definitions.stop(host, "test", 60.0)
    assert definitions.stop(host, "test", 60.0)
    assert definitions.stop(host, "none", 60.0)
    definitions.start(host, "test")
    assert not definitions.stop(host, "test", 0.0)
    found = definitions.defined(host, "test")
    assert found is not None
    assert not found.running


@pytest.mark.parametrize("running", [False, True])
def test_a_mark_is_read_again(host: VirtHost, running: bool) -> None:
    """Whether the machine runs or not; others have none."""
    definitions.define(host, "m", XML)
    if running:
        definitions.start(host, "m")
    for value in ("1", "2"):
        definitions.mark(host, "m", f"<protection role='{value}'/>")
        ((name, metadata),) = definitions.marked(host)
        assert (name, f'role="{value}"' in metadata) == ("m", True)


def test_what_a_host_is(host: VirtHost) -> None:
    """And what it can run."""
    facts = definitions.facts(host)
    assert (facts.memory_mib, facts.processors, facts.name != "") == (3072, 16, True)
    assert "test" in definitions.kinds(host)
    assert "kvm" not in definitions.kinds(host)


def test_what_libvirt_refuses_is_a_sentence(host: VirtHost) -> None:
    """With the machine's name."""
    with pytest.raises(VirtError, match="the machine m cannot be defined: "):
        definitions.define(host, "m", "<domain/>")
    with pytest.raises(VirtError, match="the machine m cannot be started: "):
        definitions.start(host, "m")
    with pytest.raises(VirtError, match="the machine m cannot be marked: "):
        definitions.mark(host, "m", "<protection/>")
