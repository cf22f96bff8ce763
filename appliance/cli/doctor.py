"""svm doctor: whether this machine can protect its guests, and does; a line for each thing."""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from appliance.cli.console import (
    DONE,
    FAILED,
    NO,
    CommandError,
    Console,
    add_json_argument,
    exit_codes,
    plain,
)
from appliance.cli.doctor_asking import Heard, hear
from appliance.cli.times import span
from appliance.config import CONFIG_VARIABLE, Settings, admin_socket, load
from appliance.config_file import ConfigError
from appliance.doctor.certificates import certificate_findings
from appliance.doctor.clock import clock_findings, is_synchronized
from appliance.doctor.disk import disk_findings
from appliance.doctor.doors import door_findings
from appliance.doctor.files import file_findings, lying
from appliance.doctor.findings import Finding, amiss, note, ok
from appliance.doctor.ksn import ksn_findings, setting_findings
from appliance.doctor.limits import limit_findings
from appliance.doctor.packet_filter import packet_filter_findings
from appliance.doctor.register import (
    CLONES_SECONDS,
    administrator_findings,
    clone_findings,
    guest_findings,
    read_clones,
    read_register,
)
from appliance.doctor.serving import lock_holder, serving_finding
from appliance.doctor.signatures import engine_findings, source_findings
from appliance.doctor.stores import store_findings
from appliance.doctor.workers import Probed, probe_as_owner
from appliance.state.environment import STATE, StateDamaged, StateError
from appliance.state.events import EventTerms

_DESCRIPTION = """\
Looks at the SVM of this machine: settings, files and their rights, disk, certificates, clock, sandbox,
engines, signatures, KSN, limits, sockets, ports, packet filter. It changes nothing.

While an SVM serves, it is asked over its administration socket; when none does, the rest is looked at,
and a worker is tried with all signatures. Run it as root or as the SVM's user."""

_EPILOG = f"""\
Each line begins with "ok", with "note" for what is to be known, or with "AMISS" for what is wrong, and
says what to do. --online has KSN asked about a digest that everybody knows, on behalf of the tenants
that take part; the question stands in the disclosure ledger.

examples:
  svm doctor
  svm doctor --config /etc/kvm-light-agent/svm.toml --json

{exit_codes("something is amiss")}"""

_MARKS = {True: "ok", False: "AMISS", None: "note"}
_WORDS = {True: "ok", False: "amiss", None: "note"}
_OF_AUTHORITY = "identity_enrolled"  # a figure that only an SVM with an authority has


def add(commands: Any) -> None:
    """Enter the command. commands: what argparse's add_subparsers gave."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "doctor", help="what is amiss, and what to do", description=_DESCRIPTION, epilog=_EPILOG
    )
    parser.add_argument("--config", metavar="FILE", type=Path, help="the SVM's settings (KVMLA_CONFIG)")
    parser.add_argument("--socket", metavar="PATH", help="its administration socket (KVMLA_ADMIN_SOCKET)")
    parser.add_argument("--online", action="store_true", help="have KSN asked, which sends something")
    add_json_argument(parser)
    parser.set_defaults(run=_doctor)


def _doctor(args: argparse.Namespace, console: Console) -> int:
    try:
        settings = load(args.config, console.environ)
    except ConfigError as error:
        for problem in error.problems:
            console.complain(problem)
        return FAILED
    _check_rights(settings.server.state_dir)
    findings = list(_findings(args, console, settings))
    if args.json:
        console.say_json(
            [{"what": each.what, "state": _WORDS[each.good], "said": each.said} for each in findings]
        )
    else:
        console.say(*(f"{_MARKS[each.good]:5}  {plain(f'{each.what}: {each.said}')}" for each in findings))
    return NO if any(finding.good is False for finding in findings) else DONE


def _check_rights(directory: Path) -> None:
    """Raise CommandError where this user cannot look."""
    paths = (
        directory,
        *(directory / name for name in ("state.lmdb", "events.lmdb", "cache.lmdb", "identity")),
    )
    for path in paths:
        try:
            there = path.exists()
        except PermissionError:
            there = True
        if there and not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
            raise CommandError(f"{path} cannot be looked at: run this as root, or as the SVM's user")


def _findings(args: argparse.Namespace, console: Console, settings: Settings) -> Iterator[Finding]:
    directory, now = settings.server.state_dir, console.clock()
    named = console.environ.get(CONFIG_VARIABLE)
    config = args.config or (Path(named) if named else None)
    yield ok("settings", f"{config or 'the embedded defaults'}: can be used")
    holder = lock_holder(directory / STATE.lock)
    heard = hear(admin_socket(args.socket, args.config, console.environ), args.online)
    yield serving_finding(holder, heard.status, heard.why, now)
    yield from (amiss("svm", why) for why in heard.unheard)
    if directory.is_dir():
        yield from _kept(settings, heard, now)
    else:
        yield note(
            "state directory", f"{directory} is not there: the first `svm serve` or `svm init` makes it"
        )
    yield from certificate_findings(settings, now)
    yield from _clock(directory, now)
    yield from _engines(settings, heard, now, _probed(settings, config, whole=heard.status is None))
    yield from setting_findings(settings.ksn, _owner(directory).st_uid)
    if heard.ksn is not None:
        yield from ksn_findings(heard.ksn, settings.ksn)
    elif args.online:
        yield note("KSN", "not tried: only an SVM that serves asks it")
    if heard.status is not None:
        yield from limit_findings(heard.status.figures, span(now - heard.status.started.seconds))
    yield from door_findings(settings, serving=heard.status is not None)
    yield from packet_filter_findings(settings, is_root=os.geteuid() == 0)
    yield note(
        "backup", "how old the last one is is not known here: make one by `svm backup FILE`, elsewhere"
    )


def _kept(settings: Settings, heard: Heard, now: float) -> Iterator[Finding]:
    """What lies in the state directory."""
    directory = settings.server.state_dir
    yield from file_findings(directory, lying(directory))
    yield from disk_findings(directory, settings)
    yield from store_findings(directory, settings)
    identity = directory / "identity"
    if not (directory / STATE.name).exists() or not (identity.is_dir() and any(identity.iterdir())):
        return
    if heard.status is not None and _OF_AUTHORITY not in heard.status.figures:
        yield note("register", "the SVM that serves took no authority when it started: start it anew")
        return
    try:
        register = read_register(directory)
        clones = read_clones(directory, EventTerms(settings.events.max_mib << 20), now - CLONES_SECONDS)
    except StateDamaged as error:
        yield amiss("register", str(error))
        return
    except StateError as error:  # of an older version, which the next start brings to this one
        yield note("register", str(error))
        return
    attached = {guest.id for guest in heard.status.guests} if heard.status is not None else set()
    yield from administrator_findings(register, now)
    yield from guest_findings(register, attached, now)
    yield from clone_findings(clones, now)


def _clock(directory: Path, now: float) -> Iterator[Finding]:
    newest, where = 0.0, ""
    for each in lying(directory) if directory.is_dir() else ():
        if each.status.st_mtime > newest:
            newest, where = each.status.st_mtime, str(directory / each.name)
    yield from clock_findings(now, newest, where, is_synchronized())


def _probed(settings: Settings, config: Path | None, whole: bool) -> Probed:
    return probe_as_owner(settings, config, whole, _owner(settings.server.state_dir))


def _owner(directory: Path) -> os.stat_result:
    """Whose the state directory is, which is who the SVM runs as; before there is one, who runs this."""
    return os.stat(directory if directory.is_dir() else "/proc/self")


def _engines(settings: Settings, heard: Heard, now: float, probed: Probed) -> Iterator[Finding]:
    yield from probed.findings
    if heard.status is not None and heard.status.unsandboxed and settings.scanning.sandbox == "bubblewrap":
        yield amiss("sandbox", "the SVM that serves runs without one, unlike these settings: start it anew")
    engines = probed.engines if heard.status is None else heard.engines
    enabled = [engine for engine in engines if getattr(settings.engines, engine.name).enabled]
    yield from engine_findings(enabled, now)
    yield from source_findings(probed.sources if heard.status is None else heard.sources, now)
