"""The program `kvmla-first-boot`: makes an SVM ready, at each start."""

import pwd
import sys
from pathlib import Path

from appliance.first_boot.applying import USER, Machine
from appliance.first_boot.disks import (
    SEED_LABELS,
    Disks,
    FirstBootError,
    mount_seed,
    mount_state,
)
from appliance.first_boot.seed import Seed, read_seed

_STATE = Path("/var/lib/kvm-light-agent")
_SEED = Path("/run/kvmla-seed")


def main() -> int:
    """Do it; the exit code. What goes wrong is one line at the console, and keeps `svm serve` from starting."""
    disks, machine = Disks(), Machine()
    try:
        mount_state(disks.state(), _STATE, pwd.getpwnam(USER).pw_uid)
        seed = _find_seed(disks)
        if seed is not None:
            machine.apply(seed)
            machine.name_itself(seed)
            machine.init(seed)
        if not machine.settings.exists():
            raise FirstBootError(
                f"this machine has no {machine.settings}: give it a disk with the label cidata that has "
                "svm-seed.json, as `svm-host deploy` does, or put the settings there"
            )
    except (FirstBootError, OSError) as error:
        print(f"kvmla-first-boot: {error}", file=sys.stderr)
        return 1
    print("kvmla-first-boot: ready")
    return 0


def _find_seed(disks: Disks) -> Seed | None:
    device = disks.labelled(SEED_LABELS)
    if device is None:
        return None
    mount_seed(device, _SEED)
    return read_seed(_SEED)


if __name__ == "__main__":
    sys.exit(main())
