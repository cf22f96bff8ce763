"""Deploys on a host of the tests, and is killed before a step: `python kill_deploy.py URI IMAGE STEP`."""

import os
import signal
import sys
from pathlib import Path

from appliance.hypervisor.deploy.deploying import deploy
from appliance.hypervisor.virt.connection import VirtHost
from tests.support.deployments import site_of, wanted


def main(uri: str, image: str, step: int) -> None:
    """Do so many steps, and be gone at the beginning of the next."""
    told: list[str] = []

    def tell(what: str) -> None:
        told.append(what)
        if len(told) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    with VirtHost.open(uri) as host:
        deploy(site_of(host, tell), *wanted(Path(image)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
