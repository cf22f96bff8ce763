"""Sockets and ports: what answers there, or whether they are free for an SVM."""

import errno
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from appliance.config import Settings
from appliance.doctor.findings import Finding, amiss, note, ok

CONNECT_SECONDS = 3.0
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # compared, not bound
_PRIVILEGED = 1024

_WHY_NOT = {
    errno.EADDRINUSE: "something else listens there: stop it, or set another address",
    errno.EADDRNOTAVAIL: "this machine does not have that address: correct it",
    errno.EACCES: f"only root may use ports below {_PRIVILEGED}: set another one",
}


@dataclass(frozen=True, slots=True)
class Door:
    """Somewhere that the SVM listens: a unix socket at `path`, else a host and port.

    mode: the rights that a socket may give.
    """

    setting: str
    path: str = ""
    host: str = ""
    port: int = 0
    mode: int = 0

    def __str__(self) -> str:
        return self.path or (f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}")


def doors(settings: Settings) -> list[Door]:
    """Where the SVM listens by its settings."""
    server, ranks = settings.server, settings.administrators
    shared = any((ranks.providers, ranks.auditors, ranks.tenant_admins, ranks.tenant_auditors))
    found = [Door("server.admin", server.admin, mode=0o666 if shared else 0o600)]
    if server.listen.startswith("unix:"):
        found.append(Door("server.listen", server.listen.removeprefix("unix:"), mode=0o660))
    addresses = server.on_tcp | ({"metrics": server.metrics} if server.metrics else {})
    for setting, text in addresses.items():
        host, _, port = text.rpartition(":")
        found.append(Door(f"server.{setting}", host=host.strip("[]"), port=int(port)))
    return found


def door_findings(settings: Settings, serving: bool) -> Iterator[Finding]:
    """serving: whether an SVM should answer at each; else each should be free."""
    for door in doors(settings):
        if door.path:
            yield from _socket(door, serving)
        else:
            yield _answers(door) if serving else _free(door)
    if settings.server.metrics and settings.server.metrics.rpartition(":")[0] in ("0.0.0.0", "[::]"):  # noqa: S104
        yield note(
            "server.metrics", "everybody who reaches this machine can read the figures: name one address"
        )


def _socket(door: Door, serving: bool) -> Iterator[Finding]:
    try:
        status = os.stat(door.path)
    except FileNotFoundError:
        if serving:
            yield amiss(door.setting, f"{door} is not there: somebody removed it; start the SVM anew")
        elif not _has_parent(door):
            yield note(door.setting, f"{Path(door.path).parent} is not there: systemd makes it, or you do")
        else:
            yield ok(door.setting, f"{door} is free")
        return
    except OSError as error:
        yield amiss(door.setting, f"{door}: {error.strerror}")
        return
    if not stat.S_ISSOCK(status.st_mode):
        yield amiss(door.setting, f"{door} is no socket: move it away, or set another path")
    elif not serving:
        yield _left(door)
    elif stat.S_IMODE(status.st_mode) & ~door.mode:
        mode = stat.S_IMODE(status.st_mode)
        yield amiss(door.setting, f"{door} has mode {mode:04o}, and not {door.mode:04o}: start the SVM anew")
    else:
        yield ok(door.setting, f"{door}, mode {stat.S_IMODE(status.st_mode):04o}")


def _has_parent(door: Door) -> bool:
    return Path(door.path).parent.is_dir()


def _left(door: Door) -> Finding:
    """A socket where no SVM serves: one that was killed left it, or another program has it."""
    with closing(socket.socket(socket.AF_UNIX)) as probe:
        probe.settimeout(CONNECT_SECONDS)
        try:
            probe.connect(door.path)
        except OSError:
            return ok(door.setting, f"{door} was left behind, and is replaced at the next start")
    return amiss(door.setting, f"something else answers on {door}: stop it, or set another path")


def _family(door: Door) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in door.host else socket.AF_INET


def _answers(door: Door) -> Finding:
    host = _ANYWHERE.get(door.host, door.host)
    try:
        with closing(socket.create_connection((host, door.port), CONNECT_SECONDS)):
            return ok(door.setting, f"{door} answers")
    except OSError as error:
        why = error.strerror or error
        return amiss(
            door.setting, f"nobody answers on {door} ({why}): is it the SVM of these settings that runs?"
        )


def _free(door: Door) -> Finding:
    with closing(socket.socket(_family(door))) as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((door.host, door.port))
            probe.listen(1)
        except OSError as error:
            why = _WHY_NOT.get(error.errno or 0, str(error))
            return amiss(door.setting, f"{door} cannot be used: {why}")
    return ok(door.setting, f"{door} is free")
