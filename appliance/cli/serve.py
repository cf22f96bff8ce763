"""svm serve: runs the SVM until it is told to stop."""

import argparse
import asyncio
import gc
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from appliance.cli.console import DONE, NO, Console
from appliance.composition import serve
from appliance.config import Settings, load
from appliance.console.logs import adopt_library_lines, configure
from appliance.console.metrics import MetricsAddressTaken
from appliance.identity.files import IdentityUnusable
from appliance.ksn_assembly import KsnUnusable
from appliance.rpc.server import CannotListen
from appliance.rpc.tickets import SocketInUse
from appliance.scanning.scanner import ScannerError
from appliance.state.store import StateError
from appliance.verdicts.environment import StoreError

_DESCRIPTION = """Runs the security virtual machine in the foreground, and logs to stderr.

Without a settings file the embedded defaults count: svm.example.toml lists them all.
SIGTERM and SIGINT stop it when what it accepted is answered; SIGHUP reads signatures, lists of web
addresses and the API key of KSN anew."""

_EPILOG = """examples:
  svm serve
  svm serve --config /etc/kvm-light-agent/svm.toml

Under systemd, Type=notify works: it says when guests can attach.

exit codes:
  0  it was told to stop, and did
  1  it could not start, or not go on; the reason is on stderr
  2  the command line or the settings cannot be used"""

# So many objects, which may be garbage in a circle, are looked at together: hundreds of microseconds.
_COLLECTIONS = (1_000, 5, 50)
_SWITCH_SECONDS = 0.0005

# What stops an SVM from starting and has a sentence for people.
_CANNOT_SERVE = (
    ScannerError,
    StateError,
    StoreError,
    SocketInUse,
    CannotListen,
    MetricsAddressTaken,
    KsnUnusable,
    IdentityUnusable,
)


def add(commands: Any) -> None:
    """Enter the command. commands: what argparse's add_subparsers gave."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "serve", help="run the SVM", description=_DESCRIPTION, epilog=_EPILOG
    )
    parser.add_argument("--config", metavar="FILE", type=Path, help="the settings (KVMLA_CONFIG)")
    parser.set_defaults(run=_serve)


def _serve(args: argparse.Namespace, console: Console) -> int:
    settings = load(args.config, console.environ)
    configure(settings.log, console.err, console.clock)
    leave_libraries = adopt_library_lines(structlog.get_logger("svm"))
    try:
        return _run(settings, console)
    finally:
        leave_libraries()
        structlog.reset_defaults()


def _run(settings: Settings, console: Console) -> int:
    try:
        asyncio.run(serve(settings, _when_ready(_notifier(console.environ))))
    except _CANNOT_SERVE as error:
        console.complain(str(error))
        return NO
    except OSError as error:
        where = error.filename or "the system"
        console.complain(f"{where}: {error.strerror or error}; see that the SVM's user may use it")
        return NO
    except Exception:  # systemd starts it anew after 1, and not after 2
        console.complain_of_fault("it could not go on")
        return NO
    return DONE


def _when_ready(notify: Callable[[], None]) -> Callable[[], None]:
    """Return what is to be done once guests can attach."""

    def ready() -> None:
        # What stands now stays for good, so no collection need look at it again. What comes after is mostly
        # freed without one: at the usual threshold they take some 5 % of the front's time under load.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_COLLECTIONS)
        # Threads beside the loop, which write to the disk, give way to it soon: an answer takes no longer.
        sys.setswitchinterval(_SWITCH_SECONDS)
        notify()

    return ready


def _notifier(environ: Mapping[str, str]) -> Callable[[], None]:
    """Return what tells systemd that the service is ready; it does nothing where systemd did not ask.

    The protocol is that of sd_notify(3): a datagram to the socket that NOTIFY_SOCKET names, where a
    leading "@" stands for the zero byte of an abstract name. Nobody there to be told is no reason
    not to serve.
    """
    address = environ.get("NOTIFY_SOCKET", "")

    def notify() -> None:
        if not address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagram:
            datagram.settimeout(5)
            datagram.sendto(b"READY=1", "\0" + address[1:] if address.startswith("@") else address)

    return notify
