"""Pools and volumes of libvirt's own test host; what is written into them stands in the integration tests."""

from collections.abc import Iterator
from io import BytesIO

import pytest

from appliance.hypervisor.virt import volumes
from appliance.hypervisor.virt.connection import VirtError, VirtHost

POOL = "<pool type='dir'><name>p</name><target><path>/p</path></target></pool>"
VOLUME = "<volume><name>v</name><capacity>1</capacity></volume>"


@pytest.fixture
def host() -> Iterator[VirtHost]:
    """The host."""
    with VirtHost.open("test:///default") as opened:
        yield opened


def test_a_pool_is_made_and_removed(host: VirtHost) -> None:
    """With how much room it has."""
    assert volumes.pool_state(host, "p") == volumes.PoolState("")
    assert volumes.names(host, "p") == []
    volumes.define_pool(host, "p", POOL)
    assert not volumes.pool_state(host, "p").up
    volumes.start_pool(host, "p")
    state = volumes.pool_state(host, "p")
    assert (state.up, state.free > 0) == (True, True)
    for _ in range(2):
        volumes.remove_pool(host, "p")
        assert volumes.pool_state(host, "p").uuid == ""


def test_a_volume_is_made_and_removed(host: VirtHost) -> None:
    """One that is gone is not missed."""
    volumes.define_pool(host, "p", POOL)
    volumes.start_pool(host, "p")
    assert volumes.make(host, "p", "v", VOLUME) == volumes.path(host, "p", "v") == "/p/v"
    assert volumes.names(host, "p") == ["v"]
    for _ in range(2):
        volumes.remove(host, "p", "v")
        assert volumes.names(host, "p") == []
    volumes.remove(host, "none", "v")


def test_what_libvirt_refuses_is_a_sentence(host: VirtHost) -> None:
    """This host cannot hold content."""
    volumes.define_pool(host, "p", POOL)
    volumes.start_pool(host, "p")
    volumes.make(host, "p", "v", VOLUME)
    with pytest.raises(VirtError, match="the volume v cannot be made in p: "):
        volumes.make(host, "p", "v", VOLUME)
    with pytest.raises(VirtError, match=r"the volume v cannot be written .* the disk of p full"):
        volumes.fill(host, "p", "v", BytesIO(b"1"))
    with pytest.raises(VirtError, match="the volume v of p cannot be read"):
        volumes.content(host, "p", "v", 100)
    with pytest.raises(VirtError, match="the volume w of p cannot be looked at"):
        volumes.path(host, "p", "w")
    with pytest.raises(VirtError, match="the storage pool q cannot be started"):
        volumes.start_pool(host, "q")
