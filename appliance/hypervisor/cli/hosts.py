"""Which libvirt a command of `svm-host` talks to, and whose a machine of it is."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from appliance.cli.console import CommandError, Console
from appliance.hypervisor.inventory.whose import Owners
from appliance.hypervisor.settings import CONFIG_VARIABLE, HostSettings, load
from appliance.hypervisor.virt.connection import VirtError, VirtHost
from appliance.hypervisor.vm import Vm


def add_host_arguments(parser: argparse.ArgumentParser) -> None:
    """Enter the arguments that say which host it is."""
    group = parser.add_argument_group("which host")
    group.add_argument(
        "--connect", metavar="URI", help="libvirt's address of it (libvirt.uri of the settings)"
    )
    group.add_argument("--config", metavar="FILE", type=Path, help=f"the settings ({CONFIG_VARIABLE})")


def settings_of(args: argparse.Namespace, console: Console) -> HostSettings:
    """The settings that count for a command. Raises ConfigError."""
    return load(args.config, console.environ)


def tenant_of(settings: HostSettings, vm: Vm, given: str) -> str:
    """Whose a machine is, "" for nobody's: what was given, else as `svm-host serve` says it.

    Raises CommandError where the file of owners cannot be read: it may say whose it is.
    """
    if given:
        return given
    owners = Owners(settings.machines)
    whose = owners.of(vm)
    if not whose.sure:
        raise CommandError(f"whose machine {vm.name} is cannot be said ({owners.problem}): give --tenant")
    return whose.tenant


def addresses(args: argparse.Namespace, console: Console) -> tuple[str, ...]:
    """libvirt's addresses of the hosts that count for a command. Raises ConfigError."""
    return (args.connect,) if args.connect else tuple(settings_of(args, console).libvirt.uri)


def is_remote(uri: str) -> bool:
    """Whether libvirt's address may lead to another machine than this one, as one that is none may."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return True
    return bool(parts.netloc) or parts.scheme.partition("+")[2] not in ("", "unix")


@contextmanager
def hosts(
    args: argparse.Namespace, console: Console, uris: Sequence[str] | None = None
) -> Iterator[list[VirtHost]]:
    """Each host that counts for a command, open. What libvirt raises within becomes a CommandError.

    uris: of those that are opened, where it is not all `addresses`.
    """
    uris = addresses(args, console) if uris is None else uris
    try:
        with ExitStack() as stack:
            yield [stack.enter_context(VirtHost.open(uri)) for uri in uris]
    except VirtError as error:
        raise CommandError(str(error)) from error
