"""svm init: makes what the SVM, its guests and its administrators prove themselves by."""

import argparse
import re
import socket
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from appliance.cli.console import DONE, CommandError, Console, exit_codes, pairs
from appliance.cli.times import shown
from appliance.config import Settings, load
from appliance.domain.caller import Caller, Role
from appliance.domain.identity import SERVER_NAME
from appliance.identity.authority import Authority, AuthorityUnusable, ends_of
from appliance.identity.files import (
    DIRECTORY,
    IdentityUnusable,
    SvmIdentity,
    Wanted,
    make,
    read_private,
    renew_server,
)
from appliance.identity.files import load as load_identity
from appliance.identity.names import NAME_RULE, BadName, uri_of

MAX_ADDRESSES = 64

_DESCRIPTION = """\
Makes the authority of this SVM, the certificate that it shows, and one for the first administrator, in
the directory `identity` of server.state_dir. Run it before the SVM serves on TCP.

Nothing that is there is written over: run again, it tells what there is, and makes what is missing: the
first administrator's certificate, once it was moved away, only where --administrator is given."""

_EPILOG = f"""\
--address says by what names and addresses guests reach the SVM: commands that are printed for guests
begin with the first. Guests and administrators know the SVM by its authority, wherever it is, so an
address may change. Back the directory up with the state: without ca.key nobody can enrol.

A company's own authority is given by --ca-certificate and --ca-key, as PEM, the key not encrypted, and
by --ca-chain the certificates above it, the next first. It issues certificates of this SVM alone.

examples:
  svm init --address 192.168.122.1
  svm init --ca-certificate svm-ca.pem --ca-key svm-ca.key --ca-chain company.pem
  svm init --renew-server --address svm.example.net

{exit_codes()}"""

_NEXT = """
next:
  1. In the settings, let guests in by TCP: server.listen = "tcp:{host}:7443", and let them enrol:
     server.enrolment = "{host}:7444". Then start the SVM, or start it anew.
  2. For each guest: `svm guests token`, which prints the command to be run in the guest.
  3. To administer from another machine: set server.admin_listen, move administrator.pem and
     administrator.key there with a copy of ca.pem, and give their directory as --identity. More
     administrators: `svm certificates issue`."""

_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9][A-Za-z0-9-]*(\.[A-Za-z0-9-]+)*")


def add(commands: Any) -> None:
    """Enter the command. commands: what argparse's add_subparsers gave."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "init", help="make the SVM's authority and certificates", description=_DESCRIPTION, epilog=_EPILOG
    )
    parser.add_argument("--config", metavar="FILE", type=Path, help="the SVM's settings (KVMLA_CONFIG)")
    parser.add_argument("--name", metavar="NAME", help="the SVM's name, for people (the host's)")
    parser.add_argument(
        "--address",
        metavar="ADDRESS",
        action="append",
        default=[],
        help="name or IP address; may be repeated",
    )
    parser.add_argument(
        "--administrator", metavar="NAME", help="the first one (administrator); or, given later, another"
    )
    parser.add_argument("--ca-certificate", metavar="FILE", type=Path, help="of an authority that is given")
    parser.add_argument("--ca-key", metavar="FILE", type=Path, help="its key")
    parser.add_argument("--ca-chain", metavar="FILE", type=Path, help="the certificates above it")
    parser.add_argument(
        "--renew-server", action="store_true", help="replace the SVM's certificate; its addresses stay"
    )
    parser.set_defaults(run=_init)


def _init(args: argparse.Namespace, console: Console) -> int:
    settings, now = load(args.config, console.environ), console.clock()
    state_dir = settings.server.state_dir
    try:
        wanted = _wanted(args, settings)
        made = [] if args.renew_server else make(state_dir, wanted, now)
        if args.renew_server:
            renew_server(state_dir, wanted, now)
        identity = load_identity(state_dir)
    except (IdentityUnusable, AuthorityUnusable, BadName) as error:
        raise CommandError(str(error)) from error
    assert identity is not None
    _check_addresses(args, identity)
    directory = state_dir / DIRECTORY
    if args.renew_server:
        console.say(f"{directory}: server.pem is renewed; start the SVM anew to have it shown")
    elif made:
        console.say(f"{directory}: made {', '.join(made)}")
    else:
        console.say(f"{directory}: all of it was there, and nothing was changed")
    console.say(*pairs(_told(directory, identity)))
    if made:
        console.say(_NEXT.format(host=_host(identity)))
    return DONE


def _check_addresses(args: argparse.Namespace, identity: SvmIdentity) -> None:
    """Raise CommandError for an address that a certificate which was there already does not have."""
    known = {_plain(address) for address in identity.addresses}
    missing = [address for address in args.address if _plain(address) not in known]
    if missing:
        more = " ".join(f"--address {address}" for address in missing)
        raise CommandError(
            f"the SVM's certificate is there already, without {', '.join(missing)}: "
            f"`svm init --renew-server {more}` makes a newer one that has them too"
        )


def _plain(address: str) -> str:
    """The one way to write it of several."""
    try:
        return str(ip_address(address))
    except ValueError:
        return address.lower()


def _wanted(args: argparse.Namespace, settings: Settings) -> Wanted:
    """What the arguments ask for. Raises CommandError, BadName, AuthorityUnusable, IdentityUnusable."""
    name = args.name or _own_name()
    uri_of(Caller(name, Role.SVM))
    if args.administrator is not None:
        uri_of(Caller(args.administrator, Role.PROVIDER))
    if len(args.address) > MAX_ADDRESSES:
        raise CommandError(f"--address is given {len(args.address)} times: give at most {MAX_ADDRESSES}")
    for address in args.address:
        if not _is_address(address):
            raise CommandError(f"--address {address[:80]!r} is none: give a name or an IP address, no port")
    days = (settings.identity.server_days, settings.identity.administrator_days)
    return Wanted(name, args.address, args.administrator, _given(args), days)


def _given(args: argparse.Namespace) -> tuple[Authority, bytes] | None:
    """An authority that is given, with its key."""
    if args.ca_certificate is None and args.ca_key is None and args.ca_chain is None:
        return None
    if args.ca_certificate is None or args.ca_key is None or args.renew_server:
        raise CommandError("--ca-certificate and --ca-key go together, and not with --renew-server")
    certificate, key = args.ca_certificate.read_bytes(), read_private(args.ca_key)
    chain = b"" if args.ca_chain is None else args.ca_chain.read_bytes()
    return Authority.load(certificate, key, chain), key


def _told(directory: Path, identity: SvmIdentity) -> list[tuple[str, object]]:
    told: list[tuple[str, object]] = [
        ("authority SHA-256", identity.authority.sha256.hex()),
        ("authority ends", shown(identity.authority.ends_at)),
        ("SVM known as", ", ".join((SERVER_NAME, *identity.addresses))),
        ("SVM's certificate ends", shown(identity.server_ends_at)),
    ]
    administrator = directory / "administrator.pem"
    if administrator.exists():
        told.append(("administrator's ends", shown(ends_of(read_private(administrator)))))
    return told


def _host(identity: SvmIdentity) -> str:
    """How the settings are to name where the SVM listens."""
    address = next(iter(identity.addresses), "ADDRESS")
    return f"[{address}]" if ":" in address else address


def _own_name() -> str:
    name = socket.gethostname().partition(".")[0]
    try:
        uri_of(Caller(name, Role.SVM))
    except BadName as error:
        raise CommandError(
            f"the host's name {name[:80]!r} cannot be the SVM's: {NAME_RULE}, by --name"
        ) from error
    return name


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return _NAME.fullmatch(text) is not None
    return True
