"""svm guests token|show|revoke|remove: who a guest is, and how it comes to be somebody."""

import argparse
import shlex
from typing import Any

from google.protobuf.duration_pb2 import Duration
from lightagent.v1 import identity_pb2

from appliance.cli.console import (
    DONE,
    Console,
    add_json_argument,
    add_socket_arguments,
    exit_codes,
    pairs,
    table,
)
from appliance.cli.times import iso, parse_later, shown
from appliance.domain.identity import token_id
from appliance.domain.policy import DEFAULT_TENANT
from appliance.identity.tokens import digest_of

_TOKEN_EPILOG = f"""\
A token lets one guest enrol, once. It is printed this once; the SVM keeps its SHA-256 alone. With --uuid
the guest is the one of that UUID, whose earlier certificate ends when it enrols; otherwise a UUID is drawn.
Give the command that is printed to the guest alone: who has the token can be that guest. One that got
into other hands is taken back by `svm guests withdraw`.

examples:
  svm guests token
  svm guests token --tenant acme --ttl 1d
  svm guests token --uuid 6ba7b810-9dad-11d1-80b4-00c04fd430c8

{exit_codes()}"""

_SHOW_EPILOG = f"""example:
  svm guests show 6ba7b810-9dad-11d1-80b4-00c04fd430c8

{exit_codes()}"""

_REVOKE_EPILOG = f"""\
The guest's certificates end, and its calls within a second; so do tokens that are bound to it. It stays
known. A token that is made for it later (--uuid) lets it enrol anew.

example:
  svm guests revoke 6ba7b810-9dad-11d1-80b4-00c04fd430c8 --reason "stolen disk"

{exit_codes()}"""

_REMOVE_EPILOG = f"""\
As revoke; and the guest is forgotten, but for what it held, which goes with time.

example:
  svm guests remove 6ba7b810-9dad-11d1-80b4-00c04fd430c8

{exit_codes()}"""

_NO_DOOR = (
    "server.listen is not on TCP, or server.enrolment is not set: no guest can enrol until both are, and the "
    "SVM was started anew"
)
_GUESTS_PORT, _ENROLMENT_PORT = "7443", "7444"  # that guests take where none is named
_NO_HOST = "svm init was told no --address: write the SVM's address for SVM-ADDRESS"


def add(verbs: Any) -> None:
    """Enter the verbs. verbs: what add_subparsers of `svm guests` gave."""
    token = _add_verb(verbs, "token", "make a token with which one guest enrols", _TOKEN_EPILOG, _token)
    token.add_argument("--tenant", metavar="T", default="", help=f"whose guest it will be ({DEFAULT_TENANT})")
    token.add_argument("--uuid", metavar="U", default="", help="which guest it will be (drawn at random)")
    token.add_argument("--ttl", metavar="SPAN", default="1h", help="how long it is good, at most 7d (1h)")
    add_json_argument(token)
    show = _add_verb(verbs, "show", "who a guest is, and its certificates", _SHOW_EPILOG, _show)
    add_json_argument(show)
    revoke = _add_verb(verbs, "revoke", "end a guest's certificates", _REVOKE_EPILOG, _revoke)
    remove = _add_verb(verbs, "remove", "the same, and forget the guest", _REMOVE_EPILOG, _remove)
    for verb in (show, revoke, remove):
        verb.add_argument("guest", metavar="GUEST", help="its UUID")
    for verb in (revoke, remove):
        verb.add_argument("--reason", metavar="TEXT", default="", help="for the record")


def certificate_dict(certificate: identity_pb2.Certificate) -> dict[str, Any]:
    """Return a certificate for programs."""
    ended = certificate.HasField("ended")
    return {
        "sha256": certificate.sha256.hex(),
        "serial": certificate.serial,
        "role": certificate.role,
        "name": certificate.name,
        "tenant": certificate.tenant or None,
        "state": certificate.state,
        "issued": iso(certificate.issued.seconds),
        "ends": iso(certificate.ends.seconds),
        "ended": iso(certificate.ended.seconds) if ended else None,
        "ended_by": certificate.ended_by or None,
        "reason": certificate.reason or None,
    }


def _add_verb(verbs: Any, name: str, does: str, epilog: str, run: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=does, epilog=epilog)
    add_socket_arguments(parser)
    parser.set_defaults(run=run)
    return parser


def _token(args: argparse.Namespace, console: Console) -> int:
    now = console.clock()
    seconds = max(0, parse_later(args.ttl, now) - int(now))
    request = identity_pb2.CreateTokenRequest(
        tenant=args.tenant, uuid=args.uuid, ttl=Duration(seconds=seconds)
    )
    with console.client(args) as client:
        made = client.create_token(request)
    command = _command(made)
    if args.json:
        console.say_json(
            {
                "token": made.token,
                "sha256": digest_of(made.token).hex(),
                "tenant": made.tenant,
                "guest": made.uuid or None,
                "expires": iso(made.expires.seconds),
                "authority_sha256": made.authority_sha256.hex(),
                "enrolment": made.enrolment or None,
                "guests": made.guests or None,
                "command": command,
            }
        )
        return DONE
    rows: list[tuple[str, object]] = [
        ("token", made.token),
        ("known as", token_id(digest_of(made.token))),
        ("tenant", f"{made.tenant}{', which is new' if made.new_tenant else ''}"),
        ("guest", made.uuid or "drawn when it enrols"),
        ("good until", shown(made.expires.seconds)),
    ]
    console.say(*pairs(rows), "", "in the guest:", f"  {command}")
    if not made.enrolment or not made.guests:
        console.complain(_NO_DOOR)
    elif made.guests.startswith(":"):
        console.complain(_NO_HOST)
    return DONE


def _command(made: identity_pb2.CreateTokenReply) -> str:
    """What is to be run in the guest."""
    host, _, port = (made.guests or f":{_GUESTS_PORT}").rpartition(":")
    words = ["guest-stub", "enrol", "--svm", f"{host or 'SVM-ADDRESS'}:{port}"]
    enrolment = made.enrolment.rpartition(":")[2]
    if enrolment not in ("", _ENROLMENT_PORT):
        words += ["--enrolment-port", enrolment]
    return shlex.join([*words, "--token", made.token, "--ca-fingerprint", made.authority_sha256.hex()])


def _show(args: argparse.Namespace, console: Console) -> int:
    with console.client(args) as client:
        found = client.enrolled_guest(args.guest)
    guest = found.guest
    if args.json:
        console.say_json(
            {
                "guest": guest.guest,
                "tenant": guest.tenant,
                "host_name": guest.host_name or None,
                "attached": guest.attached,
                "enrolled": iso(guest.enrolled.seconds),
                "machine": guest.machine.hex() or None,
                "state": guest.state,
                "certificates": [certificate_dict(each) for each in found.certificates],
            }
        )
        return DONE
    rows: list[tuple[str, object]] = [
        ("guest", guest.guest),
        ("tenant", guest.tenant),
        ("calls itself", guest.host_name or "-"),
        ("attached", "yes" if guest.attached else "no"),
        ("enrolled", shown(guest.enrolled.seconds)),
        ("certificate", guest.state),
    ]
    console.say(*pairs(rows), "")
    head = ("SHA-256", "state", "issued", "until", "because")
    console.say(*table(head, map(_row, found.certificates)))
    return DONE


def _row(certificate: identity_pb2.Certificate) -> tuple[object, ...]:
    because = ", ".join(filter(None, (certificate.ended_by, certificate.reason)))
    times = (shown(certificate.issued.seconds), shown(certificate.ends.seconds))
    return certificate.sha256.hex()[:16], certificate.state, *times, because or "-"


def _revoke(args: argparse.Namespace, console: Console) -> int:
    with console.client(args) as client:
        ended = client.revoke_guest(args.guest, args.reason)
    many = "1 certificate" if ended == 1 else f"{ended} certificates"
    console.say(f"{args.guest} is revoked: {many} of it counted until now")
    return DONE


def _remove(args: argparse.Namespace, console: Console) -> int:
    with console.client(args) as client:
        client.remove_guest(args.guest, args.reason)
    console.say(f"{args.guest} is removed")
    return DONE
