"""`guest-stub run`: protects this machine until it is told to stop."""

import asyncio
import logging
import os
import signal
import sys
from argparse import Namespace
from collections.abc import Iterable
from contextlib import AsyncExitStack, closing
from dataclasses import replace

from guest_stub.cli.setup import Setup
from guest_stub.config import ConfigError
from guest_stub.console import printable
from guest_stub.decisions import Decisions
from guest_stub.forgetful import decisions_or_none
from guest_stub.identity.by_host import ByHost
from guest_stub.identity.child import Command
from guest_stub.identity.renewing import Renewing
from guest_stub.journal import Journal
from guest_stub.limits import raise_open_files
from guest_stub.on_access.coverage import MOUNTINFO, parse_mounts
from guest_stub.on_access.policy import Mode
from guest_stub.on_access.protecting import Protection
from guest_stub.on_access.settings import AccessSettings
from guest_stub.ordered.careful import Careful
from guest_stub.ordered.findings import Findings
from guest_stub.ordered.orders import Orders
from guest_stub.ordered.place import Place
from guest_stub.ordered.running import Tools
from guest_stub.outbox import Outbox
from guest_stub.pages import share_one_arena
from guest_stub.remediation.quarantine import Quarantine
from guest_stub.service import Service
from guest_stub.standing import StandingLine
from guest_stub.svm_link.target import NotEnrolled, host_and_port
from guest_stub.svm_link.values import LinkListener, Program


async def run(options: Namespace, setup: Setup) -> int:
    """Protect as the options and settings say; 0 when told to stop, 2 when nothing can be watched any more.

    Raises ConfigError, FanotifyUnavailable, StateRefused, remediation.done.Refused and OSError.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="guest-stub: %(message)s")
    log = logging.getLogger("guest-stub")
    settings = settings_of(options, setup)
    check_mounted(options.watch)
    raise_open_files()
    share_one_arena()
    service = Service(os.environ)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        decisions = stack.enter_context(closing(decisions_or_none(setup.store)))
        journal = stack.enter_context(closing(Journal(setup.store.directory)))
        listeners: list[LinkListener] = []
        line = StandingLine(setup.target_now, replace(setup.labels, program=Program.DAEMON), listeners)
        quarantine = stack.enter_context(closing(Quarantine(setup.quarantine, waits=True)))
        outbox = stack.enter_context(closing(Outbox(setup.store.directory)))
        protection = Protection(settings, line, (decisions, journal, quarantine), outbox)
        listeners.extend([protection.keeper, protection])
        orders = Orders(_tools(setup, settings, protection, (line, decisions)))
        listeners.append(orders)
        stack.push_async_callback(orders.close)
        orders.begin()
        linking = loop.create_task(line.run())
        stack.callback(linking.cancel)
        for part in _of_identity(options, setup, line):
            stack.callback(loop.create_task(part.run()).cancel)

        def ready() -> None:
            log.info("protecting: %s", settings.mode)
            service.ready()

        living = loop.create_task(service.live())
        stack.callback(living.cancel)
        protecting = loop.create_task(protection.run(stack, ready))
        stopping = loop.create_task(stop.wait())
        done, _ = await asyncio.wait({protecting, stopping, linking}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        service.stopping()
        if protecting in done:
            log.error("%s", protecting.result())
            return 2
        if linking in done:  # a fault of this stub's: let it be seen
            linking.result()
            return 2
        figures = protection.figures() | orders.counts
        log.info("%s", ", ".join(f"{name} {count}" for name, count in figures.items()))
        protecting.cancel()
        await asyncio.gather(protecting, return_exceptions=True)
    return 0


def _tools(
    setup: Setup,
    settings: AccessSettings,
    protection: Protection,
    own: tuple[StandingLine, Decisions],
) -> Tools:
    """What ordered scans use: what on-access protection knows and does, and what it leaves alone."""
    line, decisions = own
    exclude = (*setup.settings.exclude, *settings.exclude)
    return Tools(
        line,
        decisions,
        Careful(protection.keeper, protection.memory.doubts),
        Findings(protection.replaying, protection.reporter.scanned),
        lambda: Place(protection.roots(), exclude, (str(setup.store.directory),)),
    )


def _of_identity(options: Namespace, setup: Setup, line: StandingLine) -> "list[Renewing | ByHost]":
    """What keeps this guest known to its SVM; nothing where it is on this machine."""
    if host_and_port(setup.svm):
        _say_unenrolled(setup)
    elif setup.is_svm_set:
        return []
    return [
        Renewing(setup.identity, line, _own(options, setup, "renew")),
        ByHost(setup.identity, line, _own(options, setup, "enrol", "--from-host")),
    ]


def _say_unenrolled(setup: Setup) -> None:
    """Nobody is to look for a fault of the network. It protects as without an SVM until it is enrolled."""
    try:
        setup.identity.proof()
    except NotEnrolled as problem:
        logging.getLogger("guest-stub").error("%s", printable(str(problem)))


def _own(options: Namespace, setup: Setup, *command: str) -> Command:
    """What renews this guest's certificate, and such: this program, from where it was loaded, from nowhere
    else.

    -P: nor from the directory that somebody has started it in.
    """
    words = [sys.executable, "-P", "-m", "guest_stub", *command]
    words += ["--svm", setup.svm] if setup.is_svm_set and "renew" in command else []
    words += ["--state", str(setup.store.directory)]
    words += ["--config", str(options.config)] if options.config else []
    return Command(words, {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))})


def settings_of(options: Namespace, setup: Setup) -> AccessSettings:
    """The settings in force: what the command line names wins."""
    settings = setup.settings.on_access
    if options.mode:
        settings = replace(settings, mode=Mode(options.mode))
    return replace(settings, watch=tuple(options.watch)) if options.watch else settings


def check_mounted(points: Iterable[str]) -> None:
    """Refuse what was named on the command line and is no mount point. Raises ConfigError."""
    mounted = {mount.point for mount in parse_mounts(MOUNTINFO.read_bytes())}
    for point in points:
        if point not in mounted:
            raise ConfigError(
                f"--watch {point}: nothing is mounted there: name a mount point, as findmnt lists them"
            )
