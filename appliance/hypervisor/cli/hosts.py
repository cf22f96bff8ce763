"""Which libvirt a command of `svm-host` talks to."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from appliance.cli.console import CommandError, Console
from appliance.hypervisor.settings import CONFIG_VARIABLE, HostSettings, load
from appliance.hypervisor.virt.connection import VirtError, VirtHost


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


def addresses(args: argparse.Namespace, console: Console) -> tuple[str, ...]:
    """libvirt's addresses of the hosts that count for a command. Raises ConfigError."""
    return (args.connect,) if args.connect else tuple(settings_of(args, console).libvirt.uri)


def is_remote(uri: str) -> bool:
    """Whether libvirt's address may lead to another machine than this one."""
    parts = urlsplit(uri)
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
