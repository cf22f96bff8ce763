"""Settings of the doors: where the SVM listens, and who may administer it on its socket."""

import grp
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from appliance.config_forms import AbsolutePath, AddressOrNothing, GuestAddress, Range, SocketPath
from appliance.domain.policy import TENANT_RULE, is_tenant


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where the SVM listens and keeps its files. metrics, enrolment, admin_listen: "" for off.

    listen: guests'. enrolment: where they get their certificates. admin: the socket of administrators on this
    machine. admin_listen: where those with a certificate come in.
    """

    listen: Annotated[str, GuestAddress()] = "unix:/run/kvm-light-agent/svm.sock"
    enrolment: Annotated[str, AddressOrNothing()] = ""
    admin: Annotated[str, SocketPath()] = "/run/kvm-light-agent/admin.sock"
    admin_listen: Annotated[str, AddressOrNothing()] = ""
    metrics: Annotated[str, AddressOrNothing()] = ""
    state_dir: Annotated[Path, AbsolutePath()] = Path("/var/lib/kvm-light-agent")
    stop_grace_seconds: Annotated[float, Range(0, 3600)] = 30.0

    @property
    def on_tcp(self) -> dict[str, str]:
        """The gRPC doors that are on TCP, by their settings: HOST:PORT."""
        listen = self.listen.removeprefix("tcp:") if self.listen.startswith("tcp:") else ""
        doors = {"listen": listen, "enrolment": self.enrolment, "admin_listen": self.admin_listen}
        return {setting: address for setting, address in doors.items() if address}


@dataclass(frozen=True, slots=True)
class LocalWho:
    """user:NAME or group:NAME of this machine; a number for a name does as well."""

    def problem(self, value: str) -> str:
        """Refuse what is neither, and whom this machine does not know."""
        kind, _, name = value.partition(":")
        if kind not in ("user", "group") or not name:
            return f"{value!r} is nobody: give user:NAME or group:NAME"
        if number_of(value) is None:
            return f"{value!r}: this machine has no {kind} of that name; make one, or give a number"
        return ""


@dataclass(frozen=True, slots=True)
class TenantWho:
    """TENANT=user:NAME or TENANT=group:NAME."""

    def problem(self, value: str) -> str:
        """Refuse what is neither."""
        tenant, _, who = value.partition("=")
        if not is_tenant(tenant):
            return f"{value!r} does not begin with a tenant and =: {TENANT_RULE}"
        return LocalWho().problem(who)


@dataclass(frozen=True, slots=True)
class AdministratorSettings:
    """Who may administer on the socket, besides root and the SVM's own user.

    tenant_admins, tenant_auditors: each of one tenant.
    """

    providers: Annotated[tuple[str, ...], LocalWho()] = ()
    auditors: Annotated[tuple[str, ...], LocalWho()] = ()
    tenant_admins: Annotated[tuple[str, ...], TenantWho()] = ()
    tenant_auditors: Annotated[tuple[str, ...], TenantWho()] = ()


def number_of(who: str) -> int | None:
    """The number of "user:NAME" or "group:NAME" on this machine; None where it has none."""
    kind, _, name = who.partition(":")
    if name.isascii() and name.isdigit() and len(name) <= len(str(0xFFFFFFFF)):
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid if kind == "user" else grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        return None
