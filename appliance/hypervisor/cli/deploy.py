"""svm-host deploy: an SVM on this host, with all that it needs."""

import argparse
from dataclasses import replace
from typing import Any

from appliance.cli.console import DONE, CommandError, Console, exit_codes, plain
from appliance.hypervisor.cli.deploying import (
    add_run_arguments,
    add_size_arguments,
    add_system_arguments,
    seed_part,
    settings_and_wanted,
    site,
    system_of,
    told_of,
    uri_of,
)
from appliance.hypervisor.cli.hosts import add_host_arguments
from appliance.hypervisor.deploy import network_xml, storage_xml
from appliance.hypervisor.deploy.addresses import GUESTS_PORT, addresses_of
from appliance.hypervisor.deploy.deploying import Made, deploy
from appliance.hypervisor.deploy.deployment import BadDeployment, Deployment
from appliance.hypervisor.deploy.domain_xml import Placed, domain
from appliance.hypervisor.deploy.images import Part
from appliance.hypervisor.deploy.making import GIB
from appliance.hypervisor.settings import HostSettings
from appliance.hypervisor.virt import definitions
from appliance.hypervisor.virt.connection import VirtError, VirtHost

_DESCRIPTION = """\
Deploys the security virtual machine (SVM) on this host: two networks, a storage pool, its disks,
and the machine, which starts with the host. Returns when the SVM answers. When a step fails, what
was made is taken back. Run again it makes what is missing, and changes nothing where all is
there."""

_EPILOG = f"""\
The guests' network leads nowhere but to the SVM: give each guest a port in it
(docs/deployment.md). The SVM makes its authority itself; this host gets a certificate of it in
svm.identity of the settings, and the first administrator one in deploy.administrator: move that
to where he works.

An SVM is of one host: it is never migrated.

examples:
  svm-host deploy --image svm.qcow2
  svm-host deploy --image svm.qcow2 --memory 8192 --vcpus 4 --address 10.20.0.2/22
  svm-host deploy --image svm.qcow2 --dry-run

{exit_codes()}"""

_NEXT = """
next:
  1. In svm-host.toml: [svm] server = "{admin}". Then `svm-host serve` knows its SVM.
  2. Give each guest a port:
     <interface type='network'><source network='{network}'/><model type='virtio'/></interface>
     and an address in {subnet}. It reaches the SVM at {guests}:{port}.
  3. Move {administrator} to where the administrator works: `svm status --server {admin} --identity DIR`."""


def add(commands: Any) -> None:
    """Enter the command. commands: what argparse's add_subparsers gave."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "deploy", help="put an SVM on this host", description=_DESCRIPTION, epilog=_EPILOG
    )
    add_system_arguments(parser)
    add_size_arguments(parser)
    parser.add_argument("--type", choices=("kvm", "qemu"), help="qemu: emulated, for labs (deploy.type: kvm)")
    parser.add_argument(
        "--no-reserve", dest="reserve", action="store_false", default=None, help="keep nothing for it alone"
    )
    parser.add_argument("--state-size", metavar="GIB", type=int, help="of its state (deploy.state_gib: 64)")
    parser.add_argument("--network", metavar="NAME", help="of the guests (deploy.network)")
    parser.add_argument(
        "--address", metavar="A/PREFIX", help="the SVM's on it (deploy.address: 10.113.0.2/24)"
    )
    parser.add_argument("--host-network", metavar="NAME", help="of host and SVM (deploy.host_network)")
    parser.add_argument(
        "--host-address", metavar="A/PREFIX", help="the host's on it (deploy.host_address: 10.113.1.1/24)"
    )
    parser.add_argument("--new-administrator", action="store_true", help="issue his certificate once more")
    parser.add_argument("--keep", action="store_true", help="take nothing back when it fails")
    parser.add_argument(
        "--dry-run", action="store_true", help="print what libvirt would be told, and touch nothing"
    )
    add_run_arguments(parser)
    add_host_arguments(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace, console: Console) -> int:
    settings, wanted = settings_and_wanted(args, console)
    if wanted.type == "qemu":
        wanted = replace(wanted, reserve=False)  # a lab: there is nothing to reserve it from
    try:
        system = system_of(args)
        if system is None:
            raise CommandError("nothing to deploy is named: give --image, or --kernel, --initrd and --root")
        names: dict[str, Any] = {what: part.name for what, part in system.items()}
        wanted = replace(wanted, **names)
        seed = seed_part(wanted, told_of(args))
    except BadDeployment as error:
        raise CommandError(str(error)) from error
    wanted = replace(wanted, seed=seed.name)
    parts = [*system.values(), seed]
    if args.dry_run:
        return _show(uri_of(args, settings), console, wanted, parts)
    with site(args, console) as where:
        made = deploy(where, wanted, parts, keep=args.keep)
    _tell(console, settings, wanted, made)
    return DONE


def _tell(console: Console, settings: HostSettings, wanted: Deployment, made: Made) -> None:
    addresses = addresses_of(wanted)
    console.say(*map(plain, made.said))  # the SVM's words
    if not made.steps:
        console.say(f"{wanted.name} is deployed and answers: nothing was changed")
        return
    console.say(
        f"{wanted.name} is deployed and answers on {addresses.guests.ip}, for its host on {addresses.admin}"
    )
    console.say(f"warning: {wanted.name} is of this host: do not migrate it, its guests would have no SVM")
    console.say(
        _NEXT.format(
            admin=addresses.admin,
            network=wanted.network,
            subnet=addresses.guests.network,
            guests=addresses.guests.ip,
            port=GUESTS_PORT,
            administrator=settings.deploy.administrator,
        )
    )


def _show(uri: str, console: Console, wanted: Deployment, parts: list[Part]) -> int:
    """Print the definitions; the host is asked for its name alone, and need not be there."""
    names = (*wanted.volumes, wanted.state)
    paths = {name: f"{wanted.pool_dir}/{name}" for name in names}
    try:
        with VirtHost.open(uri) as host:
            name = definitions.facts(host).name
    except VirtError:
        name = "this-host"
    console.say(network_xml.guests_network(wanted), network_xml.host_network(wanted, addresses_of(wanted)))
    console.say(storage_xml.pool(wanted))
    console.say(*(storage_xml.volume(part.name, part.size, "raw") for part in parts))
    console.say(storage_xml.volume(wanted.state, wanted.state_gib * GIB, "qcow2"))
    console.say(domain(Placed(wanted, name), "", paths).rstrip())
    return DONE
