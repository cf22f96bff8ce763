"""svm-host undeploy: this host's SVM is removed; its state stays, unless it is purged."""

import argparse
from typing import Any

from appliance.cli.console import DONE, NO, CommandError, Console, exit_codes
from appliance.hypervisor.cli.deploying import add_run_arguments, settings_and_wanted, site
from appliance.hypervisor.cli.hosts import add_host_arguments
from appliance.hypervisor.deploy.removing import undeploy

_DESCRIPTION = """\
Removes the SVM of this host: the machine, its system, and the networks that no guest has a port
in. Its state stays (verdicts, events, its authority, which its guests know it by), and a new
deploy goes on with it.

It also removes what a deploy left that was killed."""

_EPILOG = f"""\
--purge removes the state too: every guest then has to enrol anew. It asks first; --yes answers.

examples:
  svm-host undeploy
  svm-host undeploy --purge --yes

{exit_codes("there was nothing to remove, or the question was answered with no")}"""


def add(commands: Any) -> None:
    """Enter the command. commands: what argparse's add_subparsers gave."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "undeploy", help="remove this host's SVM", description=_DESCRIPTION, epilog=_EPILOG
    )
    parser.add_argument("--purge", action="store_true", help="its state as well, for ever")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_run_arguments(parser)
    add_host_arguments(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace, console: Console) -> int:
    _, named = settings_and_wanted(args, console)
    if args.purge and not args.yes and not _agreed(console, named.name):
        console.say("nothing was removed")
        return NO
    with site(args, console) as where:
        lines = undeploy(where, named, args.purge)
    console.say(*(lines or [f"there is no SVM {named.name} here, and nothing of it"]))
    return DONE if lines else NO


def _agreed(console: Console, name: str) -> bool:
    if not console.talks():
        raise CommandError("--purge removes what cannot be made again: say --yes where nobody can be asked")
    try:
        return console.ask(f"All that {name} knows is removed for ever. Type its name to go on:") == name
    except EOFError:
        return False
