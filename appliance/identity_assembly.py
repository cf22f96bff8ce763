"""Puts together who is who: the authority, the register, and what guests enrol at."""

import asyncio
import time
from dataclasses import dataclass

import structlog

from appliance.config import Settings
from appliance.domain.identity import Certificate
from appliance.domain.tenants import Tenants
from appliance.identity.ending import Ender
from appliance.identity.files import SvmIdentity, first_administrator, load
from appliance.identity.issuing import Issuer
from appliance.identity.registry import Registry
from appliance.rpc.enrolment import BOUNDS, EnrolmentService
from appliance.rpc.tls import ServerIdentity
from appliance.state.environment import StateEnvironment, StateError
from appliance.state.identities import IdentityStore
from appliance.witness import Witness

_AGE_EVERY = 86400.0
_TICK_SECONDS = 0.5
_WARN_SECONDS = 30 * 86400.0

log = structlog.get_logger("svm")


@dataclass(frozen=True, slots=True)
class IdentityParts:
    """What an SVM has after `svm init`. service: Enrolment and Renewal."""

    svm: SvmIdentity
    registry: Registry
    service: EnrolmentService

    @property
    def server(self) -> ServerIdentity:
        """What the doors on TCP show."""
        return ServerIdentity(self.svm.server, self.svm.key, self.svm.authority.pem)

    def figures(self) -> dict[str, float]:
        """Figures for metrics and status."""
        counts = self.registry.counts
        return {
            "identity_enrolled": counts["enrolled"],
            "identity_renewed": counts["renewed"],
            "identity_ended": counts["revoked"] + counts["removed"],
            "identity_cloned": counts["cloned"],
            "identity_other_machine": counts["other_machine"],
            "identity_tokens": counts["token"],
            "identity_tokens_withdrawn": counts["withdrawn"],
            "identity_tokens_refused": counts["refused"],
            **{f"identity_over_{bound}": self.service.counts[bound] for bound in BOUNDS},
            "identity_over_tenant_guests": counts["over_tenant_guests"],
            "identity_over_tenant_tokens": counts["over_tenant_tokens"],
            "identity_over_agent_tokens": counts["over_agent_tokens"],
            "identity_no_room": counts["no_room"],
            "identity_malformed": self.service.counts["malformed"],
            "identity_unwritable": counts["unwritable"],
            "identity_server_ends_seconds": self.svm.server_ends_at,
        }

    async def run(self) -> None:
        """End calls whose certificates end, and forget what was over long ago, until cancelled."""
        next_age = time.monotonic()
        while True:
            self.registry.end_expired()
            if time.monotonic() >= next_age:
                next_age = time.monotonic() + _AGE_EVERY
                try:
                    await self.registry.age()
                except StateError as error:
                    log.warning("old certificates are not forgotten", why=str(error))
            await asyncio.sleep(_TICK_SECONDS)


async def assemble_identity(
    settings: Settings, environment: StateEnvironment, witness: Witness, tenants: Tenants
) -> IdentityParts | None:
    """Return what `svm init` has made, with the register; None where it was not run.

    Raises IdentityUnusable, StateError.
    """
    svm = load(settings.server.state_dir)
    if svm is None:
        return None
    store = IdentityStore(environment)
    ender = Ender(store, time.time)
    issuer = Issuer(store, svm.authority, settings.identity, time.time)
    registry = Registry(issuer, ender, tenants, time.time)
    first: Certificate | None = first_administrator(settings.server.state_dir, svm.authority)
    if first is not None:
        await asyncio.to_thread(ender.adopt, first)
    registry.on_changed.append(witness.identity_changed)
    if svm.server_ends_at < time.time() + _WARN_SECONDS:
        log.warning("the SVM's certificate ends soon", remedy="svm init --renew-server, then start it anew")
    return IdentityParts(svm, registry, EnrolmentService(registry, settings.identity))


def told_address(setting: str, identity: IdentityParts | None) -> str:
    """How guests are to be told of a door: HOST:PORT, HOST "" where it is not known, "" for no door on TCP.

    setting: as in the settings, with or without "tcp:" before it.
    """
    host, _, port = setting.removeprefix("tcp:").rpartition(":")
    if not port or setting.startswith("unix:") or identity is None:
        return ""
    if host not in ("0.0.0.0", "[::]"):  # noqa: S104  # compared, not bound
        return f"{host}:{port}"
    address = next(iter(identity.svm.addresses), "")
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
