"""svm certificates issue|list|revoke: those of administrators and host agents."""

import argparse
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightagent.v1 import identity_pb2

from appliance.cli.console import (
    DONE,
    NO,
    CommandError,
    Console,
    add_json_argument,
    add_socket_arguments,
    beginning_of,
    check_limit,
    exit_codes,
    table,
)
from appliance.cli.enrolments import certificate_dict
from appliance.cli.times import shown
from appliance.domain.caller import Role
from appliance.identity.authority import pem_of
from appliance.identity.keys import csr_for, key_pem, new_key
from appliance.rpc.identity_admin import DEFAULT_CERTIFICATES, MAX_CERTIFICATES

_DESCRIPTION = """\
Certificates by which administrators and host agents are known to the SVM on TCP (server.admin_listen).
Its role is in a certificate, and decides what its holder may do. Guests get theirs by `svm guests token`."""

_ISSUE_EPILOG = f"""\
The key is made here, and does not leave DIR: the SVM is told the public one. DIR then holds ca.pem,
administrator.pem and administrator.key, for --identity of the other commands.

  provider      may do everything
  tenant-admin  sees and changes what is of one tenant
  auditor       sees everything, or with --tenant what is of one tenant, and changes nothing
  host-agent    what runs on the KVM host itself

examples:
  svm certificates issue --role provider --name paula --out ./paula
  svm certificates issue --role tenant-admin --tenant acme --name anna --out ./anna

{exit_codes()}"""

_LIST_EPILOG = f"""example:
  svm certificates list

{exit_codes("there is none")}"""

_REVOKE_EPILOG = f"""\
A certificate is named by its SHA-256, of which the first 8, 10, 12 or more digits do where no other
begins so. Its holder's calls end within a second.

example:
  svm certificates revoke 3fa94c01 --reason "left the company"

{exit_codes()}"""

_ROLES = (Role.PROVIDER, Role.TENANT_ADMIN, Role.AUDITOR, Role.HOST_AGENT)


def add(commands: Any) -> None:
    """Enter the commands. commands: what argparse's add_subparsers gave."""
    parser = commands.add_parser(
        "certificates", help="certificates of administrators", description=_DESCRIPTION
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    issue = _add_verb(verbs, "issue", "make a key and a certificate of it", _ISSUE_EPILOG, _issue)
    issue.add_argument("--role", required=True, choices=list(map(str, _ROLES)), help="what the holder may do")
    issue.add_argument("--name", metavar="NAME", required=True, help="who it is, as in the audit")
    issue.add_argument("--tenant", metavar="T", default="", help="whose things the holder sees")
    issue.add_argument("--out", metavar="DIR", type=Path, required=True, help="a directory, new or empty")
    listing = _add_verb(verbs, "list", "which there are", _LIST_EPILOG, _list)
    listing.add_argument("--guests", action="store_true", help="also those of guests")
    listing.add_argument(
        "--limit",
        metavar="N",
        type=int,
        default=DEFAULT_CERTIFICATES,
        help=f"the newest N, at most {MAX_CERTIFICATES} ({DEFAULT_CERTIFICATES})",
    )
    add_json_argument(listing)
    revoke = _add_verb(verbs, "revoke", "end one", _REVOKE_EPILOG, _revoke)
    revoke.add_argument("sha256", metavar="SHA256", help="its first 8, 10, 12 or more digits")
    revoke.add_argument("--reason", metavar="TEXT", default="", help="for the record")


def _add_verb(verbs: Any, name: str, does: str, epilog: str, run: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=does, description=_DESCRIPTION, epilog=epilog
    )
    add_socket_arguments(parser)
    parser.set_defaults(run=run)
    return parser


def _issue(args: argparse.Namespace, console: Console) -> int:
    directory: Path = args.out
    _begin(directory)
    key = new_key()
    request = identity_pb2.IssueCertificateRequest(
        role=args.role, name=args.name, tenant=args.tenant, csr=csr_for(key)
    )
    with _whole_or_none(directory):
        _put(directory / "administrator.key", key_pem(key))
        with console.client(args) as client:
            issued = client.issue_certificate(request)
        try:
            _put(directory / "ca.pem", pem_of(issued.chain[0]))
            _put(directory / "administrator.pem", pem_of(issued.certificate))
        except CommandError as error:
            known = hashlib.sha256(issued.certificate).hexdigest()[:16]
            raise CommandError(
                f"{error}; the certificate that was issued is nobody's now: `svm certificates revoke {known}`"
            ) from error
    of = f" of {args.tenant}" if args.tenant else ""
    console.say(f"{directory}: {args.role}{of} {args.name}, until {shown(issued.ends.seconds)}")
    return DONE


def _begin(directory: Path) -> None:
    """Make the directory, or see that nothing is in it."""
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        if not directory.is_dir() or any(directory.iterdir()):
            raise CommandError(f"{directory} is there already, and not empty: give another one") from None
        directory.chmod(0o700)


@contextmanager
def _whole_or_none(directory: Path) -> Iterator[None]:
    """Where it fails, have nothing left in a directory that was empty."""
    try:
        yield
    except BaseException:
        for path in directory.iterdir():
            path.unlink()
        raise


def _put(path: Path, content: bytes) -> None:
    """Write a new file, on the disk on return. Raises CommandError."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(fd)
    except OSError as error:
        raise CommandError(
            f"{path} cannot be written ({error.strerror}): free room on its disk, or give another --out"
        ) from error


def _list(args: argparse.Namespace, console: Console) -> int:
    check_limit(args.limit, MAX_CERTIFICATES)
    with console.client(args) as client:
        found = client.certificates(args.limit, args.guests).certificates
    if args.json:
        console.say_json([certificate_dict(each) for each in found])
    elif found:
        head = ("SHA-256", "role", "name", "tenant", "state", "until")
        console.say(*table(head, map(_row, found)))
    else:
        console.say("there is no certificate yet: make one with `svm certificates issue`")
    return DONE if found else NO


def _row(certificate: identity_pb2.Certificate) -> tuple[object, ...]:
    who = (certificate.role, certificate.name, certificate.tenant or "-")
    return certificate.sha256.hex()[:16], *who, certificate.state, shown(certificate.ends.seconds)


def _revoke(args: argparse.Namespace, console: Console) -> int:
    beginning = beginning_of(args.sha256)
    with console.client(args) as client:
        reply = client.revoke_certificate(beginning, args.reason)
    ended, lost = reply.certificate, reply.tokens
    console.say(f"{ended.sha256.hex()[:16]} is revoked: it was of the {ended.role} {ended.name}")
    if lost:
        console.say(f"{lost:,} unused token{'' if lost == 1 else 's'} of that author went with it")
    return DONE
