"""The words of the command line, read into options; guest-stub(1) tells the same at length."""

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path

from guest_stub.cli.identity_words import add_identity
from guest_stub.cli.quarantine_words import add_quarantine
from guest_stub.on_access.policy import Mode
from guest_stub.on_access.settings import BadSetting, normalised
from guest_stub.version import VERSION

DAY_SECONDS = 86_400.0
_SECONDS = {"": 1, "S": 1, "M": 60, "H": 3600, "D": 86_400}
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}

_EXAMPLES = """\
examples:
  guest-stub scan /home                     scan a tree
  guest-stub scan -x / --exclude '*.iso'    the root file system alone, without ISO images
  guest-stub scan --json / > found.jsonl    one JSON object a line, a summary at the end
  guest-stub scan --idle --rate 5 /srv      unnoticed, at 5 MB/s
  guest-stub ksn                            whether the Kaspersky Security Network is used for this guest

exit codes:
  0  nothing was found, and everything was looked at
  1  something was found
  2  nothing was found, but not everything could be looked at: unreadable or unanswered files,
     no SVM, an interruption, a wrong command line
"""


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line; prints and exits on --help, --version and mistakes (code 2)."""
    parser = argparse.ArgumentParser(
        prog="guest-stub",
        description="Asks the security virtual machine (SVM) of this host about the files of this guest.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"guest-stub {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_scan(commands)
    status = commands.add_parser(
        "status",
        help="whether an SVM answers, and what is kept of earlier scans",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="exit codes:\n  0  the SVM answers\n  2  it does not, or the state directory cannot be read",
    )
    _add_common(status)
    run = commands.add_parser("run", help="protect this machine: files are looked at as they are opened")
    run.add_argument("--mode", choices=[str(mode) for mode in Mode], help="what waits for a verdict")
    run.add_argument(
        "--watch", action="append", default=[], type=mount_point, metavar="DIR", help="this mount point alone"
    )
    _add_common(run)
    doctor = commands.add_parser(
        "doctor",
        help="whether this machine can be protected, and whether it is",
        description="Look at the kernel, the mounts and the SVM, and try to open the EICAR test file.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="exit codes:\n  0  all is well\n  1  something is amiss\n  2  it could not be found out",
    )
    _add_common(doctor)
    _add_ksn(commands)
    _add_check_url(commands)
    add_quarantine(commands)
    add_identity(commands, _add_common)
    return parser.parse_args(words)


def _add_scan(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    scan = commands.add_parser(
        "scan",
        help="scan files and directories",
        description="Scan files and directories. A PATH that is a symbolic link is followed, others are not.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_EXAMPLES,
    )
    scan.add_argument("paths", nargs="+", type=path, metavar="PATH", help="a file or a directory")
    scan.add_argument(
        "--json", action="store_true", help="one JSON object a line for what is remarkable, then a summary"
    )
    scan.add_argument(
        "--all", action="store_true", help="say something of every file, not only of remarkable ones"
    )
    scan.add_argument(
        "--exclude", action="append", default=[], metavar="GLOB",
        help="leave out what matches: a name, or with a slash in it a whole path; may be given again",
    )  # fmt: skip
    scan.add_argument(
        "-x",
        "--one-file-system",
        action="store_true",
        help="do not enter other file systems than a PATH's own",
    )
    scan.add_argument(
        "--max-size", type=size, metavar="SIZE", help="leave out larger files; K, M, G, T may follow"
    )
    scan.add_argument(
        "--idle", action="store_true", help="lowest priority for processor and disk, and a rate limit"
    )
    scan.add_argument(
        "--rate", type=rate, metavar="MB/S", help="read and send at most so many million bytes a second"
    )
    scan.add_argument(
        "--patience", type=duration, default=DAY_SECONDS, metavar="TIME",
        help="wait so long for a slot where the host is busy: seconds, or such as 30m, 2h, 1d (the default)",
    )  # fmt: skip
    scan.add_argument("--no-progress", action="store_true", help="no progress line, even on a terminal")
    _add_common(scan)


def _add_ksn(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    ksn = commands.add_parser(
        "ksn",
        help="whether the Kaspersky Security Network (KSN) is used for this guest, and how",
        description="Say whether the Kaspersky Security Network (KSN) is used for this guest: enabled, "
        "enabled with restrictions or off, and why; its type and mode, and the Statement's versions.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="exit codes:\n  0  the SVM answered, whatever it said\n  2  no answer",
    )
    ksn.add_argument("--json", action="store_true", help="one JSON object")
    _add_common(ksn)


def _add_check_url(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    check = commands.add_parser(
        "check-url",
        help="what is known of web addresses",
        description="Say what is known of web addresses, one line for each: malicious, suspicious, clean, or "
        "unknown, which is not clean. The addresses are never opened.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="exit codes:\n  0  nothing is known against any\n  1  one is malicious or suspicious\n"
        "  2  neither, but one is no web address, or was not answered",
    )
    check.add_argument("urls", nargs="+", metavar="URL", help="a web address; without a scheme it is http")
    check.add_argument("--json", action="store_true", help="one JSON object a line")
    _add_common(check)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--svm", "--socket", metavar="TARGET", type=target,
        help="the SVM: unix:/path, tcp:host:port, or a socket's path (else KVMLA_SVM, else as configured)",
    )  # fmt: skip
    parser.add_argument("--state", type=Path, metavar="DIR", help="where decisions of earlier scans are kept")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings, instead of those in /etc")


def path(text: str) -> str:
    """A path that is not empty; raises ArgumentTypeError."""
    if not text:
        raise argparse.ArgumentTypeError("a PATH is empty: is a variable in it not set?")
    return text


def mount_point(text: str) -> str:
    """An absolute path as the kernel writes it; raises ArgumentTypeError."""
    try:
        return normalised("--watch", text)
    except BadSetting as problem:
        raise argparse.ArgumentTypeError(f"{problem.name} {problem}") from problem


def size(text: str) -> int:
    """Bytes that a text such as "100M" means; raises ArgumentTypeError."""
    match = re.fullmatch(r"(\d{1,15})([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size: write bytes, or such as 512K, 100M, 2G")
    return int(match[1]) * _UNITS[match[2].upper()]


def duration(text: str) -> float:
    """Seconds that a text such as "90", "15m" or "2h" means, up to 30 days; raises ArgumentTypeError."""
    match = re.fullmatch(r"(\d{1,9})([SMHD]?)", text.strip(), re.IGNORECASE)
    seconds = int(match[1]) * _SECONDS[match[2].upper()] if match is not None else 0
    if not 1 <= seconds <= 30 * DAY_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write seconds, or such as 15m, 2h; up to 30d")
    return float(seconds)


def rate(text: str) -> float:
    """Bytes a second that a text such as "2.5" (MB/s) means; raises ArgumentTypeError."""
    try:
        megabytes = float(text)
    except ValueError:
        megabytes = 0.0
    if not 0.001 <= megabytes <= 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no rate: write MB/s, from 0.001 to 1000000")
    return megabytes * 1e6


def target(text: str) -> str:
    """The SVM's address; a plain path is that of a unix socket. Raises ArgumentTypeError."""
    if text.startswith(("unix:", "tcp:")):
        return text
    if not text or ":" in text.partition("/")[0]:  # "http://host", "10.0.0.1:7443"
        raise argparse.ArgumentTypeError(f"{text!r} is no target: give unix:/PATH, tcp:HOST:PORT or a path")
    return f"unix:{os.path.abspath(text)}"
