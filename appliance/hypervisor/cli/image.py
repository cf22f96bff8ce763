"""svm-host image build|lock: the images that machines are made from."""

import argparse
from pathlib import Path
from typing import Any

from appliance.cli.console import DONE, CommandError, Console, exit_codes
from appliance.hypervisor.cli.interruption import ended_like_by_ctrl_c
from appliance.hypervisor.image.apt import Apt
from appliance.hypervisor.image.building import Wanted, Workshop
from appliance.hypervisor.image.libraries import Wheels
from appliance.hypervisor.image.lock import SHIPPED, ImageLock
from appliance.hypervisor.image.locking import SUITE, debian_part, python_part
from appliance.hypervisor.image.recipe import Access, check_user
from appliance.hypervisor.image.running import ImageError

CACHE = Path("/var/cache/kvm-light-agent/images")
MIN_MIB, MAX_MIB = 512, 65536

_BUILD_EPILOG = f"""\
Made from Debian packages and Python libraries by a lock: the same lock and the same svm-host give the same
bytes. It has to run as root; what it mounts is apart from this machine's mounts, and ends with it. The first
time takes some minutes, and brings 250 MB.

  svm    boots into `svm serve`. It wants a blank second disk with the serial svm-state, and a NoCloud disk:
         `svm-host deploy` gives it both
  guest  a machine for trials, with the guest stub and sshd

With --kernel-dir, FILE holds the root file system alone, and kernel and initrd are put into DIR: for direct
kernel boot, which is faster.

examples:
  svm-host image build svm --output svm.qcow2
  svm-host image build svm --output root.qcow2 --kernel-dir .
  svm-host image build guest --output guest.qcow2 --ssh-key alice=alice.pub

{exit_codes()}"""

_LOCK_EPILOG = f"""\
Debian's mirrors keep one version of a package, so a lock can be met until the next update of what it names.
The Python libraries stay as they are, unless --source names a source tree: its requirements.lock counts then.

examples:
  svm-host image lock --output image.lock
  svm-host image build svm --lock image.lock --output svm.qcow2

{exit_codes()}"""


def add(commands: Any) -> None:
    """Enter the commands. commands: what argparse's add_subparsers gave."""
    parser = commands.add_parser("image", help="make the image of an SVM, or of a guest for trials")
    kinds = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=type(parser))
    build = kinds.add_parser("build", help="make an image", epilog=_BUILD_EPILOG)
    build.add_argument("kind", choices=("svm", "guest"), help="what it is an image of")
    build.add_argument("--output", metavar="FILE", type=Path, required=True, help="the image, as qcow2")
    build.add_argument(
        "--kernel-dir", metavar="DIR", type=Path, help="for kernel and initrd, apart from FILE"
    )
    build.add_argument("--lock", metavar="FILE", type=Path, default=SHIPPED, help="instead of the program's")
    build.add_argument("--no-cloud-init", action="store_true", help="read svm-seed.json alone: boots sooner")
    build.add_argument("--size", metavar="MIB", type=int, default=2048, help="of the root file system (2048)")
    build.add_argument(
        "--ssh-key",
        metavar="USER=FILE",
        action="append",
        default=[],
        help="a user, and the public keys for him",
    )
    _add_places(build)
    build.set_defaults(run=_build)
    lock = kinds.add_parser("lock", help="write a lock of the present packages", epilog=_LOCK_EPILOG)
    lock.add_argument("--output", metavar="FILE", type=Path, required=True, help="the lock")
    lock.add_argument("--source", metavar="DIR", type=Path, help="a source tree, for the Python libraries")
    _add_places(lock)
    lock.set_defaults(run=_lock)


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mirror", metavar="URL", default="", help="of Debian (apt's own configuration)")
    parser.add_argument(
        "--cache", metavar="DIR", type=Path, default=CACHE, help=f"for what is kept ({CACHE})"
    )


def _build(args: argparse.Namespace, console: Console) -> int:
    if not MIN_MIB <= args.size <= MAX_MIB:
        raise CommandError(f"--size is {args.size}: give {MIN_MIB} to {MAX_MIB} MiB")
    if not args.output.parent.is_dir():
        raise CommandError(f"{args.output.parent} is no directory: make it first")
    with ended_like_by_ctrl_c():
        _make(args, console)
    console.say(f"{args.output}: made")
    return DONE


def _make(args: argparse.Namespace, console: Console) -> None:
    try:
        packages = "base" if args.no_cloud_init else "cloud"
        wanted = Wanted(args.kind, packages, Access(_keys(args.ssh_key)), mib=args.size)
        workshop = Workshop(ImageLock.load(args.lock), args.cache.absolute(), args.mirror, console.say)
        if args.kernel_dir is None:
            workshop.disk(wanted, args.output)
        else:
            workshop.direct(wanted, args.kernel_dir, args.output)
    except ImageError as error:
        raise CommandError(str(error)) from error
    except KeyboardInterrupt:
        console.complain(f"interrupted: {args.output} is as it was before")
        raise


def _lock(args: argparse.Namespace, console: Console) -> int:
    cache = args.cache.absolute()
    try:
        apt, wheels = Apt(cache / "apt", SUITE, args.mirror), Wheels(cache / "wheels")
        libraries = python_part(args.source, wheels) if args.source else ImageLock.load(SHIPPED).libraries
        lock = debian_part(apt, int(console.clock()), libraries)
    except ImageError as error:
        raise CommandError(str(error)) from error
    part = args.output.with_name(f".{args.output.name}.part")
    part.write_text(lock.text())
    part.rename(args.output)
    sizes = ", ".join(f"{len(pins)} in {name}" for name, pins in sorted(lock.packages.items()))
    console.say(f"{args.output}: packages, {sizes}")
    return DONE


def _keys(given: list[str]) -> dict[str, str]:
    """Of --ssh-key, by user."""
    keys: dict[str, str] = {}
    for word in given:
        user, found, file = word.partition("=")
        if not found:
            raise CommandError(f"--ssh-key {word[:80]!r} names no user: give USER=FILE")
        check_user(user)
        keys[user] = keys.get(user, "") + Path(file).read_text()
    return keys
