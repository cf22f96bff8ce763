"""svm-host upgrade: another system for the SVM of this host, or another size; its state stays."""

import argparse
from collections.abc import Mapping
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
)
from appliance.hypervisor.cli.hosts import add_host_arguments
from appliance.hypervisor.deploy.deployment import BadDeployment, Deployment
from appliance.hypervisor.deploy.images import Part
from appliance.hypervisor.deploy.iso import MAX_BYTES
from appliance.hypervisor.deploy.seed import Told, told_in
from appliance.hypervisor.deploy.site import standing
from appliance.hypervisor.deploy.upgrading import settle, upgrade
from appliance.hypervisor.virt import volumes
from appliance.hypervisor.virt.connection import VirtHost

_DESCRIPTION = """\
Gives the SVM of this host another system, on the same state. The new one is put beside the old
one while that serves; then the machine is started anew. Should it not answer in time, the old one
is started again.

The guests do without an answer for as long as the start takes: what their policy lets through
they tell afterwards, and it is looked at then."""

_EPILOG = f"""\
Of --svm-config and --ssh-key, the one that is not given stays as it was.

Other networks, addresses or another pool: `svm-host undeploy`, then `svm-host deploy`; the state
stays.

examples:
  svm-host upgrade --image svm-2.qcow2
  svm-host upgrade --memory 8192

{exit_codes()}"""


def add(commands: Any) -> None:
    """Enter the command. commands: what argparse's add_subparsers gave."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "upgrade", help="give this host's SVM another system", description=_DESCRIPTION, epilog=_EPILOG
    )
    add_system_arguments(parser)
    add_size_arguments(parser)
    add_run_arguments(parser)
    add_host_arguments(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace, console: Console) -> int:
    _, named = settings_and_wanted(args, console)
    try:
        told_of(args)  # what cannot be is told before anything is done
        system = system_of(args) or {}
    except BadDeployment as error:
        raise CommandError(str(error)) from error
    with site(args, console) as where:
        before = standing(where.host, named.name)
        if before is None:
            raise CommandError(f"there is no SVM {named.name} here: `svm-host deploy` makes it")
        before = settle(where, before)
        wanted = _wanted(args, before.deployment, system)
        parts = list(system.values())
        if args.svm_config or args.ssh_key:
            seed = _seed(args, where.host, wanted)
            wanted = replace(wanted, seed=seed.name)
            parts.append(seed)
        if wanted == before.deployment and before.healthy:
            console.say(f"{wanted.name} is so already: nothing was changed")
            return DONE
        said, away = upgrade(where, before, wanted, parts)
    console.say(*map(plain, said), f"{wanted.name} is upgraded and answers; it did not for {away:.1f} s")
    return DONE


def _wanted(args: argparse.Namespace, old: Deployment, system: Mapping[str, Part]) -> Deployment:
    """What is asked for, with the seed as it is. Raises BadDeployment."""
    asked = {"memory_mib": args.memory, "vcpus": args.vcpus, "append": args.append}
    changed: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    if system:
        changed |= {"kernel": "", "initrd": ""} | {what: part.name for what, part in system.items()}
    wanted = replace(old, **changed)
    wanted.check()
    return wanted


def _seed(args: argparse.Namespace, host: VirtHost, old: Deployment) -> Part:
    """One with what is said anew, and the rest of the seed that it has. Raises BadDeployment, VirtError."""
    before = Told()
    if not (args.svm_config and args.ssh_key):
        before = told_in(volumes.content(host, old.pool, old.seed, MAX_BYTES), old)
    return seed_part(old, told_of(args, before))
