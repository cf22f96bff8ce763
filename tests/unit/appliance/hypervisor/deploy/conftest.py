"""libvirt's own test host, as the steps of a deployment need it."""

from collections.abc import Iterator

import pytest

from appliance.hypervisor.virt import volumes
from appliance.hypervisor.virt.connection import VirtHost


@pytest.fixture
def test_host(monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtHost]:
    """It does all but hold the content of a volume."""
    monkeypatch.setattr(volumes, "fill", lambda *_: None)
    with VirtHost.open("test:///default") as host:
        yield host
