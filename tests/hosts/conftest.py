"""What several of these tests stand on."""

from collections.abc import Iterator

import pytest

from appliance.hypervisor.virt.connection import VirtHost
from tests.support.domains import emptied_afterwards, host_of_machines
from tests.support.kvm_host import KvmHost


@pytest.fixture(scope="module")
def machines() -> Iterator[KvmHost]:
    """A host of machines."""
    with host_of_machines() as host:
        yield host


@pytest.fixture
def host(machines: KvmHost) -> Iterator[VirtHost]:
    """It, open; the machines of a test end with it."""
    with emptied_afterwards(machines) as host:
        yield host
