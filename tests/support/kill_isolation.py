"""A process that cuts off or releases a machine and is killed before the step of a number.

arguments: URI, state directory, UUID, "isolate" or "release", the number of the step.
"""

import itertools
import os
import signal
import sys
import time
from pathlib import Path

from appliance.hypervisor.inventory.outbox import Outbox
from appliance.hypervisor.isolation.isolator import Isolator, Order
from appliance.hypervisor.isolation.records import Records
from appliance.hypervisor.virt.connection import VirtHost
from tests.support.domains import PROTECTION

if __name__ == "__main__":
    uri, state, uuid, what, number = sys.argv[1:]
    steps = itertools.count()

    def step(_name: str) -> None:
        """Be killed where it is time."""
        if next(steps) == int(number):
            os.kill(os.getpid(), signal.SIGKILL)

    isolator = Isolator(Records(Path(state)), Outbox(Path(state)), {PROTECTION}, time.time, step)
    with VirtHost.open(uri) as host:
        if what == "isolate":
            isolator.isolate(host, uuid, "web", Order("a test", "test"))
        else:
            isolator.release(host, uuid, "test")
