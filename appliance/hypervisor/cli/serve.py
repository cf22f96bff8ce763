"""svm-host serve: tells the SVM which machines there are, and keeps cut off what is, until it is told to
stop.
"""

import argparse
import asyncio
import signal
from dataclasses import replace
from typing import Any

import structlog

from appliance.cli.console import DONE, NO, Console
from appliance.console.logs import adopt_library_lines, configure
from appliance.hypervisor.cli.hosts import add_host_arguments, settings_of
from appliance.hypervisor.files import StateUnusable
from appliance.hypervisor.inventory.agent import Agent, serving_alone
from appliance.hypervisor.parts import PARTS
from appliance.hypervisor.service import Service
from appliance.hypervisor.serving import serve
from appliance.hypervisor.settings import HostSettings, LibvirtSettings

_EPILOG = """\
Runs in the foreground and logs to stderr. It follows libvirt on each host of the settings, whose restarts it
survives, and tells the SVM of every machine, running or not, at once and every minute. It may be started
before either of them. SIGTERM and SIGINT stop it; machines that are cut off stay so.

Under systemd, Type=notify and a watchdog work.

examples:
  svm-host serve --config /etc/kvm-light-agent/svm-host.toml

exit codes:
  0  it was told to stop, and did
  1  it could not start; the reason is on stderr
  2  the command line or the settings cannot be used"""


def add(commands: Any) -> None:
    """Enter the command. commands: what argparse's add_subparsers gave."""
    parser = commands.add_parser("serve", help="tell the SVM of this host's machines", epilog=_EPILOG)
    add_host_arguments(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace, console: Console) -> int:
    settings = settings_of(args, console)
    if args.connect:
        settings = replace(settings, libvirt=LibvirtSettings((args.connect,)))
    configure(settings.log, console.err, console.clock)
    leave_libraries = adopt_library_lines(structlog.get_logger("svm-host"))
    try:
        with serving_alone(settings.state_dir):
            Agent(settings.state_dir)
            asyncio.run(_serve(settings, Service(console.environ)))
    except StateUnusable as error:
        console.complain(str(error))
        return NO
    finally:
        leave_libraries()
        structlog.reset_defaults()
    return DONE


async def _serve(settings: HostSettings, service: Service) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    living = loop.create_task(service.live())
    log = structlog.get_logger("svm-host")

    def ready() -> None:
        service.ready()
        log.info("serving", hosts=list(settings.libvirt.uri), svm=settings.svm.server or None)

    try:
        await serve(settings, stopped, ready, PARTS)
    finally:
        living.cancel()
        service.stopping()
        log.info("stopped")
