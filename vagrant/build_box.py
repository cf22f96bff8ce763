"""vagrant/build-box: makes the boxes of the lab, by the means of `svm-host image build`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from appliance.hypervisor.image.box import make_box, wanted_for_box
from appliance.hypervisor.image.building import Workshop
from appliance.hypervisor.image.lock import SHIPPED, ImageLock
from appliance.hypervisor.image.running import ImageError

KINDS = ("svm", "guest")
CACHE = Path("/var/cache/kvm-light-agent/images")
MIB = 2048  # of a root file system
_EPILOG = """\
Nothing is mounted; it has to run as root. The first time takes some minutes and brings 250 MB, later ones a
minute for both. A box that is there is left alone, older ones of its kind are removed. Where the mirror has
no more what the lock names: `svm-host image lock --output FILE`, then --lock FILE.

  vagrant/build-box
  vagrant/build-box svm --lock image.lock
"""


def main(words: Sequence[str]) -> int:
    """Make them; the exit code."""
    parser = argparse.ArgumentParser(
        prog="build-box",
        description="Make the boxes of the lab.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kinds", metavar="KIND", nargs="*", help="svm, guest (both)")
    parser.add_argument("--output", metavar="DIR", type=Path, required=True, help="where boxes go")
    parser.add_argument("--lock", metavar="FILE", type=Path, default=SHIPPED, help="instead of svm-host's")
    parser.add_argument("--mirror", metavar="URL", default="", help="of Debian (apt's own configuration)")
    parser.add_argument(
        "--cache", metavar="DIR", type=Path, default=CACHE, help=f"for what is kept ({CACHE})"
    )
    args = parser.parse_args(words)
    if wrong := sorted(set(args.kinds) - set(KINDS)):
        parser.error(f"{wrong[0]!r} is no kind of box: svm or guest")
    try:
        workshop = Workshop(ImageLock.load(args.lock), args.cache.absolute(), args.mirror)
        args.output.mkdir(parents=True, exist_ok=True)
        for kind in args.kinds or KINDS:
            print(f"{_box(workshop, kind, args.output)}: made", flush=True)
    except ImageError as error:
        print(f"build-box: {error}", file=sys.stderr)
        return 2
    return 0


def _box(workshop: Workshop, kind: str, directory: Path) -> Path:
    """Make one, and remove those of its kind that it takes the place of."""
    with TemporaryDirectory(prefix=".making-", dir=directory) as scratch:
        disk = Path(scratch) / "box.img"
        workshop.disk(wanted_for_box(kind, MIB), disk)
        box = make_box(kind, disk, directory, workshop.lock.epoch)
    for other in directory.glob(f"kvmla-{kind}-*.box"):
        if other != box:
            other.unlink()
    return box


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
