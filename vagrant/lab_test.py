"""vagrant/lab-test: runs the story on the machines that `vagrant up` has made."""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from vagrant.machines import Machine, StoryError, Vagrant
from vagrant.story import PARTS, Lab

HERE = Path(__file__).parent
NAMES = ["svm", "guest1", "guest2"]
_EPILOG = """\
The machines have to be up (vagrant up). It leaves files below /srv/lab in the guests, and can be run again.

exit codes:
  0  all of it is so
  1  something is not: what, and the last words of each machine, stand on the standard error
"""


def main(words: Sequence[str]) -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(
        prog="lab-test",
        description="Run the lab's story over ssh.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(words)
    directory = Path(tempfile.mkdtemp(prefix="lab", dir="/tmp"))
    machines: list[Machine] = []
    try:
        vagrant = Vagrant(HERE)
        machines = vagrant.machines(NAMES, directory)
        tell(Lab(vagrant, machines[0], machines[1:]))
    except StoryError as error:
        print(f"lab-test: {error}", file=sys.stderr)
        _last_words(machines)
        return 1
    finally:
        for machine in machines:
            machine.hang_up()
        shutil.rmtree(directory, ignore_errors=True)
    print("lab-test: all of it is so", flush=True)
    return 0


def tell(lab: Lab) -> None:
    """Each part, with what was seen and how long it took. Raises StoryError at the first that is not so."""
    for title, part in PARTS:
        began = time.monotonic()
        try:
            seen = part(lab)
        except StoryError as error:
            raise StoryError(f"{title}: {error}") from error
        print(f"ok  {time.monotonic() - began:5.1f} s  {title}\n             {seen}", flush=True)


def _last_words(machines: Sequence[Machine]) -> None:
    """What the programs in the machines said last."""
    for machine in machines:
        unit = "svm" if machine.name == NAMES[0] else "guest-stub"
        try:
            said = machine.run(f"journalctl -u {unit} --no-pager -o cat -n 12")
        except StoryError as error:
            print(error, file=sys.stderr)
            continue
        print(f"--- {machine.name}: {unit}\n{said.out or said.err}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
