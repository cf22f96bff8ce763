"""The register as it lies on the disk, a part for each tenant."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from appliance.domain.caller import Caller
from appliance.domain.identity import Token
from appliance.identity.names import named_by
from appliance.state.audit import AuditEntry
from appliance.state.environment import StateEnvironment
from appliance.state.identities import IdentityStore, IdentityTables
from tests.chaos.broken import Broken
from tests.chaos.register import Chain, Entry, Register, TokenKept

_ACTIONS = {"token", "guest revoked", "guest removed", "certificate issued", "certificate revoked"}
_UNTIL = "counts until"


def read(
    environment: StateEnvironment, audit: Sequence[AuditEntry], tenants: Iterable[str]
) -> dict[str, Register]:
    """What each tenant has. audit: all of it, the oldest first. Raises Broken, StateDamaged.

    A certificate that is of no tenant is that one's whose name its holder's begins with.
    """
    found = {tenant: Register() for tenant in tenants}
    with IdentityStore(environment).reading() as tables:
        for token in tables.tokens():
            if token.tenant in found:
                found[token.tenant].tokens[token.digest] = _token(token)
        for guest in tables.guests():
            if guest.tenant in found:
                chain = Chain(guest.current, guest.following, guest.before)
                found[guest.tenant].guests[guest.uuid] = chain
        for certificate in tables.certificates():
            register = found.get(_whose(named_by(certificate.holder)))
            if register is not None:
                register.issued(certificate.sha256, certificate.holder)
                register.ends[certificate.sha256] = certificate.ended or ""
        for tenant, register in found.items():
            _count(tables, tenant, register)
    for entry in audit:
        tenant = entry.tenant or entry.subject.partition(" ")[2].partition("-")[0]
        if entry.action in _ACTIONS and tenant in found:
            found[tenant].audit.append(_entry(entry))
    return found


def _count(tables: IdentityTables, name: str, register: Register) -> None:
    """A tenant's own record has to agree with the guests that there are."""
    tenant = tables.tenant(name)
    if tenant is not None:
        register.scope = tenant.scope
    if (tenant.guests if tenant is not None else 0) != len(register.guests):
        raise Broken(f"the tenant {name} is said to be {tenant}, and {len(register.guests)} guests are there")


def _whose(holder: Caller) -> str:
    return holder.tenant or holder.name.partition("-")[0]


def _token(token: Token) -> TokenKept:
    made = hashlib.sha256(token.certificate).digest() if token.certificate else b""
    return TokenKept(token.uuid, token.expires_at, token.key, made)


def _entry(entry: AuditEntry) -> Entry:
    kept = Entry(entry.action, entry.subject, entry.before, entry.after)
    return replace(kept, after=_UNTIL) if kept.after.startswith(f"{_UNTIL} 20") else kept
