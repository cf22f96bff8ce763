"""svm host-port: within an SVM, answers what its host asks by the port that the two share.

The host proves itself by being the host: nobody else is at the other end of a virtio-serial port, and who is
can do with the machine's disk and memory what it likes anyway. It gets certificates for keys of its own.
"""

import argparse
import base64
import json
import os
import select
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lightagent.v1 import identity_pb2

from appliance.cli.console import CommandError, Console, add_socket_arguments, exit_codes
from appliance.domain.caller import Role
from appliance.identity.authority import pem_of
from appliance.rpc.admin_client import AdminClient, AdminError

VERSION = 1
MAX_LINE_BYTES = 64 * 1024
MAX_ISSUED = 4
DEFAULT_PORT = Path("/dev/virtio-ports/org.kvm_light_agent.deploy.0")

_IDLE_SECONDS = 0.5
_WAIT_SECONDS = 120.0  # for an SVM that starts
_ROLES = frozenset({Role.PROVIDER, Role.HOST_AGENT})

_DESCRIPTION = """\
Runs within an SVM that `svm-host deploy` made, beside `svm serve`: hands its host the
certificates that it asks for, of the host agent and of the first administrator, for keys that the
host keeps."""

_EPILOG = f"""example:
  svm host-port

{exit_codes()}"""


def add(commands: Any) -> None:
    """Enter the command. commands: what argparse's add_subparsers gave."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "host-port", help="answer the host (within an SVM)", description=_DESCRIPTION, epilog=_EPILOG
    )
    parser.add_argument(
        "port", metavar="DEVICE", nargs="?", type=Path, default=DEFAULT_PORT, help=f"({DEFAULT_PORT})"
    )
    add_socket_arguments(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace, console: Console) -> int:
    try:
        fd = os.open(args.port, os.O_RDWR | os.O_NOCTTY)
    except OSError as error:
        raise CommandError(
            f"{args.port} cannot be opened ({error.strerror}): was this SVM made by `svm-host deploy`?"
        ) from error
    last, reply = b"", None
    try:
        for line in lines_of(fd):
            if line != last:
                last, reply = line, answer(line, lambda: console.client(args))
            if reply is not None:  # the host asks again while it waits: for that nothing is issued anew
                _write(fd, reply)
    finally:
        os.close(fd)
    raise AssertionError  # lines_of has no end


def lines_of(fd: int) -> Iterator[bytes]:
    """What comes through a port, by lines, for ever. One that is too long is passed over."""
    held, skipping = b"", False
    while True:
        select.select([fd], [], [], _IDLE_SECONDS)
        came = _read(fd)
        if not came:
            time.sleep(_IDLE_SECONDS)  # no host is at the other end, and the port says so at once
            continue
        *whole, held = (held + came).split(b"\n")
        for line in whole:
            if line and not skipping:
                yield line
            skipping = False
        if len(held) > MAX_LINE_BYTES:
            held, skipping = b"", True


def answer(
    line: bytes,
    connect: Callable[[], AdminClient],
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> bytes | None:
    """The answer to a line, None for one that is no question."""
    question = _question(line)
    if question is None:
        return None
    reply: dict[str, Any] = {"version": VERSION, "id": question["id"]}
    try:
        reply |= _issued(question["issue"], connect, pause, clock)
    except (AdminError, ValueError) as error:
        reply["error"] = str(error)[:1000]
    return json.dumps(reply).encode() + b"\n"


def _question(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("issue"), list):
        return None
    number = found.get("id")
    return found if isinstance(number, str) and 0 < len(number) <= 64 else None


def _issued(
    wanted: list[Any],
    connect: Callable[[], AdminClient],
    pause: Callable[[float], None],
    clock: Callable[[], float],
) -> dict[str, Any]:
    """Raises AdminError, and ValueError for what is no request."""
    requests = [_request(each) for each in wanted]
    if not 1 <= len(requests) <= MAX_ISSUED:
        raise ValueError(f"{len(requests)} certificates are asked for: ask for 1 to {MAX_ISSUED}")
    end = clock() + _WAIT_SECONDS
    while True:
        try:
            with connect() as client:
                issued = [client.issue_certificate(request) for request in requests]
            break
        except AdminError as error:
            if clock() >= end or "no SVM answers" not in str(error):
                raise
            pause(_IDLE_SECONDS)
    return {
        "authority": pem_of(issued[0].chain[0]).decode(),
        "certificates": [pem_of(each.certificate).decode() for each in issued],
    }


def _request(wanted: Any) -> identity_pb2.IssueCertificateRequest:
    if not isinstance(wanted, dict) or wanted.get("role") not in _ROLES:
        raise ValueError("certificates for the roles provider and host-agent are issued here, and no others")
    name, csr = wanted.get("name"), wanted.get("csr")
    if not isinstance(name, str) or not isinstance(csr, str):
        raise ValueError("a request for a certificate has a name and a csr, as text")
    der = base64.b64decode(csr, validate=True)
    return identity_pb2.IssueCertificateRequest(role=wanted["role"], name=name, csr=der)


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 16 * 1024)
    except OSError:  # the host went away meanwhile
        return b""


def _write(fd: int, content: bytes) -> None:
    while content:
        content = content[os.write(fd, content) :]
