"""What deploy, upgrade and undeploy of `svm-host` have in common: arguments, and the host they work on."""

import argparse
import fcntl
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from appliance.cli.console import CommandError, Console, plain
from appliance.hypervisor.cli.hosts import settings_of
from appliance.hypervisor.cli.interruption import ended_like_by_ctrl_c
from appliance.hypervisor.deploy import images
from appliance.hypervisor.deploy.addresses import addresses_of
from appliance.hypervisor.deploy.deployment import BadDeployment, Deployment
from appliance.hypervisor.deploy.health import Health, Identities
from appliance.hypervisor.deploy.images import Part
from appliance.hypervisor.deploy.seed import Told, checked_keys, seed_of
from appliance.hypervisor.deploy.site import DeployError, Site
from appliance.hypervisor.deploy.svm_toml import checked_settings
from appliance.hypervisor.settings import WAIT_SECONDS, HostSettings
from appliance.hypervisor.virt import definitions
from appliance.hypervisor.virt.connection import VirtError, VirtHost

_MAX_TEXT_BYTES = 256 * 1024


def add_system_arguments(parser: argparse.ArgumentParser) -> None:
    """Enter those that say what the SVM runs."""
    group = parser.add_argument_group("its system: an image, or kernel, initrd and root")
    group.add_argument("--image", metavar="FILE", type=Path, help="as `svm-host image build svm` makes it")
    group.add_argument("--kernel", metavar="FILE", type=Path, help="a vmlinuz, booted directly")
    group.add_argument("--initrd", metavar="FILE", type=Path, help="its first file system")
    group.add_argument("--root", metavar="FILE", type=Path, help="qcow2 of the root file system")
    group.add_argument("--append", metavar="WORDS", help="more words for that kernel")


def add_size_arguments(parser: argparse.ArgumentParser) -> None:
    """Enter those that an upgrade may change as well."""
    group = parser.add_argument_group("what it has")
    group.add_argument("--memory", metavar="MIB", type=int, help="memory (deploy.memory_mib: 4096)")
    group.add_argument("--vcpus", metavar="N", type=int, help="processors (deploy.vcpus: 2)")
    group.add_argument(
        "--svm-config", metavar="FILE", type=Path, help="a svm.toml of your own, but for its doors"
    )
    group.add_argument("--ssh-key", metavar="FILE", type=Path, help="public keys that root may come in by")


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Enter those of every run."""
    parser.add_argument("--name", metavar="NAME", help="the machine's (deploy.name: kvmla-svm)")
    parser.add_argument(
        "--wait", metavar="SECONDS", type=_seconds, help="for its answer (deploy.wait_seconds: 300)"
    )


def _seconds(text: str) -> float:
    """In the range of deploy.wait_seconds; raises ArgumentTypeError."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if WAIT_SECONDS.problem(seconds):
        low, high = WAIT_SECONDS.low, WAIT_SECONDS.high
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is no time to wait: give {low} to {high} seconds")
    return seconds


def wanted_of(args: argparse.Namespace, settings: HostSettings) -> Deployment:
    """What settings and arguments ask for, the system apart. Raises BadDeployment."""
    chosen = {
        field.name: getattr(settings.deploy, field.name)
        for field in fields(Deployment)
        if hasattr(settings.deploy, field.name)
    }
    chosen["pool_dir"] = str(chosen["pool_dir"])
    for name, argument in (("memory_mib", "memory"), ("state_gib", "state_size")):
        chosen[name] = _given(args, argument, chosen[name])
    chosen = {name: _given(args, name, value) for name, value in chosen.items()}
    chosen["append"] = _given(args, "append", "")
    wanted = Deployment(**chosen)
    wanted.check()
    addresses_of(wanted)
    return wanted


def system_of(args: argparse.Namespace) -> dict[str, Part] | None:
    """The parts of the system, by what they are to a Deployment; None without any. Raises BadDeployment."""
    direct = {"kernel": args.kernel, "initrd": args.initrd, "system": args.root}
    if args.image is None and not any(direct.values()):
        return None
    if args.image is not None and any(direct.values()):
        raise BadDeployment("--image boots by itself: give it, or --kernel, --initrd and --root")
    if args.image is not None:
        if args.append:
            raise BadDeployment(
                "--append is for a kernel that is booted directly: give --kernel, or leave it out"
            )
        return {"system": images.system(args.image)}
    if not all(direct.values()):
        raise BadDeployment("--kernel, --initrd and --root go together: give all three")
    return {
        "kernel": images.kernel(args.kernel),
        "initrd": images.initrd(args.initrd),
        "system": images.system(args.root),
    }


def told_of(args: argparse.Namespace, before: Told = Told()) -> Told:  # noqa: B008  # frozen
    """What the operator says. before: what he said once, which counts on where he does not say it anew.

    Raises BadDeployment.
    """
    return Told(
        checked_settings(_text(args.svm_config)) if args.svm_config else before.settings,
        checked_keys(_text(args.ssh_key)) if args.ssh_key else before.ssh_keys,
    )


def seed_part(wanted: Deployment, told: Told) -> Part:
    """Its seed. Raises BadDeployment."""
    return images.in_memory(*seed_of(wanted, told))


@contextmanager
def site(args: argparse.Namespace, console: Console) -> Iterator[Site]:
    """The host, open, and nobody else of this program at work. What goes wrong becomes a CommandError."""
    settings = settings_of(args, console)
    uri = uri_of(args, settings)
    identities = Identities(
        settings.svm.identity,
        settings.deploy.administrator,
        "",
        bool(getattr(args, "new_administrator", False)),
    )
    try:
        with ended_like_by_ctrl_c(), _alone(settings.state_dir), VirtHost.open(uri) as host:
            named = _named(identities, definitions.facts(host).name)
            health = Health.of(host, named, _given(args, "wait", settings.deploy.wait_seconds))
            yield Site(host, partial(_tell, console), health.reach)
    except KeyboardInterrupt as error:
        with suppress(OSError):
            console.complain(f"interrupted: {error or 'run it again, and it goes on from there'}")
        raise
    except (VirtError, DeployError, BadDeployment) as error:
        raise CommandError(str(error)) from error


def _tell(console: Console, what: str) -> None:
    """Say it, to whoever still hears: a terminal that is gone is no reason to leave off in the middle."""
    with suppress(OSError):
        console.say(f"  {plain(what)}")
        console.out.flush()


def settings_and_wanted(args: argparse.Namespace, console: Console) -> tuple[HostSettings, Deployment]:
    """Both of them. Raises CommandError, ConfigError."""
    settings = settings_of(args, console)
    try:
        return settings, wanted_of(args, settings)
    except BadDeployment as error:
        raise CommandError(str(error)) from error


def _named(identities: Identities, host: str) -> Identities:
    """With the host's name as a certificate can have it."""
    short = host.partition(".")[0]
    name = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in short)
    return Identities(
        identities.agent, identities.administrator, name.strip("-")[:64] or "host", identities.again
    )


def uri_of(args: argparse.Namespace, settings: HostSettings) -> str:
    """libvirt's address of the one host that it is about. Raises CommandError."""
    if args.connect:
        return str(args.connect)
    if len(settings.libvirt.uri) != 1:
        raise CommandError(
            f"the settings name {len(settings.libvirt.uri)} hosts, and an SVM is of one: say --connect"
        )
    return settings.libvirt.uri[0]


def _given(args: argparse.Namespace, name: str, default: Any) -> Any:
    found = getattr(args, name, None)
    return default if found is None else found


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_TEXT_BYTES).decode()
    except OSError as error:
        raise BadDeployment(f"{path} cannot be read ({error.strerror}): see whose it is") from error
    except UnicodeDecodeError as error:
        raise BadDeployment(f"{path} is no text in UTF-8: give another file") from error


@contextmanager
def _alone(state_dir: Path) -> Iterator[None]:
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(state_dir / "deploy.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CommandError(
            f"{state_dir} cannot be used ({error.strerror}): be root, or name another by state_dir"
        ) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise CommandError(
            "another svm-host deploys, upgrades or removes an SVM here: wait for it"
        ) from error
    finally:
        os.close(fd)
