"""The program `svm-host`."""

import sys

from appliance.cli.process import run_process
from appliance.hypervisor.cli.program import run


def main() -> int:
    """Run `svm-host` as this process; return the exit code."""
    return run_process("svm-host", run)


if __name__ == "__main__":
    sys.exit(main())
