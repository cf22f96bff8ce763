"""The program `svm`."""

import sys

from appliance.cli.process import run_process
from appliance.cli.program import run


def main() -> int:
    """Run `svm` as this process; return the exit code."""
    return run_process("svm", run)


if __name__ == "__main__":
    sys.exit(main())
