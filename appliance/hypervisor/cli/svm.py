"""Which SVM a command of `svm-host` speaks to."""

import argparse
from pathlib import Path

from appliance.cli.console import CommandError
from appliance.hypervisor.settings import HostSettings
from appliance.rpc.admin_line import AdminLine, CertificateLine, SocketLine


def add_svm_arguments(parser: argparse.ArgumentParser) -> None:
    """Enter the arguments that say which SVM it is."""
    group = parser.add_argument_group("which SVM")
    group.add_argument("--server", metavar="HOST:PORT", help="its administrators' door (svm.server)")
    group.add_argument(
        "--identity", metavar="DIR", type=Path, help="this host agent's certificate for it (svm.identity)"
    )
    group.add_argument("--socket", metavar="PATH", help="of one on this machine: its administration socket")


def svm_line(args: argparse.Namespace, settings: HostSettings) -> AdminLine:
    """The way to it. Raises CommandError where nobody says which."""
    if args.socket:
        return SocketLine(args.socket)
    server = args.server or settings.svm.server
    if not server:
        raise CommandError("no SVM is named: set svm.server in the settings, or give --server HOST:PORT")
    return CertificateLine(server, args.identity or settings.svm.identity)
