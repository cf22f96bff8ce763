"""Who a certificate is of: one URI in it, and nothing else of it counts.

    kvm-light-agent://guest/TENANT/UUID
    kvm-light-agent://administrator/ROLE/NAME           provider, auditor
    kvm-light-agent://administrator/ROLE/TENANT/NAME    tenant-admin, auditor of one tenant
    kvm-light-agent://host-agent/NAME
    kvm-light-agent://svm/NAME

Each holder has one way to be written: what reads otherwise is no name.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from appliance.domain.caller import Caller, Role
from appliance.domain.identity import Certificate
from appliance.domain.policy import TENANT_RULE, is_tenant
from appliance.state.record import REMEDY, StateDamaged

NAME_RULE = (
    "give 1 to 64 of A-Z, a-z, 0-9, dot, underscore and hyphen, of which the first is a letter or a digit, "
    'and not "uid-" or "ip-" at its beginning'
)

_SCHEME = "kvm-light-agent://"
_NAME = re.compile(r"(?!uid-|ip-)[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # not what callers without one are called
_WITH_TENANT = frozenset({Role.TENANT_ADMIN, Role.AUDITOR})
_WITHOUT_TENANT = frozenset({Role.PROVIDER, Role.AUDITOR})


class BadName(ValueError):
    """A holder cannot be named like that; the message says why and what to give."""


def subject_of(certificate: Certificate) -> str:
    """What a certificate is called in the audit. Raises StateDamaged."""
    holder = holder_of(certificate)
    return f"{holder.role} {holder.name}, certificate {certificate.sha256.hex()[:16]}"


def is_uuid(text: str) -> bool:
    """Whether a text is a guest's UUID as it is written here: in small letters, with hyphens."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def uri_of(holder: Caller) -> str:
    """Return the URI that names a holder. Raises BadName."""
    if holder.tenant and not is_tenant(holder.tenant):
        raise BadName(f"{holder.tenant[:80]!r} is no name of a tenant: {TENANT_RULE}")
    if holder.role is Role.GUEST:
        return _guest_uri(holder)
    if not _NAME.fullmatch(holder.name):
        raise BadName(f"{holder.name[:80]!r} is no name that can be given: {NAME_RULE}")
    if holder.role in (Role.HOST_AGENT, Role.SVM):
        if holder.tenant:
            raise BadName(f"{_article(holder.role)} is of no tenant: leave the tenant out")
        return f"{_SCHEME}{holder.role}/{holder.name}"
    return _administrator_uri(holder)


def named_by(uri: str) -> Caller:
    """Return the holder that a URI names. Raises BadName."""
    kind, *rest = uri.removeprefix(_SCHEME).split("/")
    holder = _read(kind, rest)
    if holder is None or uri_of(holder) != uri:
        raise BadName(f"{uri[:200]!r} names nobody")
    return holder


def holder_of(certificate: Certificate) -> Caller:
    """Return the holder of a certificate of the register. Raises StateDamaged."""
    with from_register():
        return named_by(certificate.holder)


@contextmanager
def from_register() -> Iterator[None]:
    """Raise StateDamaged where what the register says of somebody is no name."""
    try:
        yield
    except BadName as error:
        raise StateDamaged(f"the register of certificates is damaged ({error}): {REMEDY}") from error


def _guest_uri(holder: Caller) -> str:
    if not is_uuid(holder.name):
        raise BadName(f"{holder.name[:80]!r} is no UUID: give it in small letters, with hyphens")
    if not holder.tenant:
        raise BadName("a guest is of a tenant: name it")
    return f"{_SCHEME}guest/{holder.tenant}/{holder.name}"


def _administrator_uri(holder: Caller) -> str:
    if holder.role not in (_WITH_TENANT if holder.tenant else _WITHOUT_TENANT):
        how = "is of all tenants: leave the tenant out" if holder.tenant else "is of one tenant: name it"
        raise BadName(f"{_article(holder.role)} {how}")
    where = f"{holder.tenant}/" if holder.tenant else ""
    return f"{_SCHEME}administrator/{holder.role}/{where}{holder.name}"


def _read(kind: str, rest: list[str]) -> Caller | None:
    """The holder that the parts of a URI could stand for."""
    match kind, rest:
        case "guest", [tenant, uuid]:
            return Caller(uuid, Role.GUEST, tenant)
        case (("host-agent" | "svm"), [name]):
            return Caller(name, Role(kind))
        case "administrator", [role, *tenant, name] if len(tenant) <= 1 and role in set(Role):
            return Caller(name, Role(role), "".join(tenant))
    return None


def _article(role: Role) -> str:
    return f"{'an' if role.startswith(('a', 's')) else 'a'} {role}"
