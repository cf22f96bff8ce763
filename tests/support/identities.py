"""A register of who is who, with an authority of its own, at a time that the test sets."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from appliance.config_identity import IdentitySettings
from appliance.domain.caller import Caller, Role
from appliance.identity.authority import Authority, Life, pem_of
from appliance.identity.ending import Ender
from appliance.identity.issuing import Asked, Enrolled, Issuer
from appliance.identity.keys import csr_for, key_pem, new_key
from appliance.identity.registry import Registry
from appliance.state.environment import StateEnvironment
from appliance.state.identities import IdentityStore
from appliance.state.tenant_names import TenantNames

NOW = 1_900_000_000.0  # 2030-03-17
DAY = 86400.0
PROVIDER = Caller("paula", Role.PROVIDER)
OF_ACME = Caller("anna", Role.TENANT_ADMIN, "acme")
MACHINE, OTHER_MACHINE = b"m" * 32, b"o" * 32
UUID = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"


@dataclass
class Office:
    """What issues and ends, over real tables. now: what the clock shows."""

    environment: StateEnvironment
    authority: Authority
    terms: IdentitySettings
    now: float = NOW
    issuer: Issuer = field(init=False)
    ender: Ender = field(init=False)
    registry: Registry = field(init=False)

    def __post_init__(self) -> None:
        store = IdentityStore(self.environment)
        self.store = store
        self.issuer = Issuer(store, self.authority, self.terms, self.clock)
        self.ender = Ender(store, self.clock)
        names = TenantNames(self.environment)
        self.registry = Registry(self.issuer, self.ender, names, self.clock)

    def clock(self) -> float:
        """Seconds since the epoch."""
        return self.now

    def enrolled(self, tenant: str = "default", uuid: str = "", machine: bytes = MACHINE) -> Enrolled:
        """A guest that enrols."""
        text = self.issuer.token(tenant, uuid, 3600, PROVIDER).text
        return self.issuer.enrol(text, asked(machine))


@contextmanager
def office(
    directory: Path,
    authority: Authority | None = None,
    terms: IdentitySettings | None = None,
    now: float = NOW,
) -> Iterator[Office]:
    """The register of a directory. authority: None for one that is made for the test."""
    environment = StateEnvironment.open(directory)
    try:
        yield Office(environment, authority or an_authority(now), terms or IdentitySettings(), now)
    finally:
        environment.close()


def an_authority(now: float = NOW, years: float = 10) -> Authority:
    """One that was made a day ago."""
    return Authority.make("test", Life(int(now - DAY), int(now + years * 365 * DAY)))[0]


def asked(
    machine: bytes = MACHINE, key: ec.EllipticCurvePrivateKey | None = None, host_name: str = "vm"
) -> Asked:
    """A sound request. key: None for a new one."""
    return Asked(csr_for(key or new_key()), machine, host_name)


def shown(enrolled: Enrolled) -> bytes:
    """What a guest shows: its certificate as PEM."""
    return pem_of(enrolled.certificate)


@dataclass(frozen=True)
class KeyPair:
    """A key, and a certificate of it, as PEM."""

    key: bytes
    certificate: bytes


def guest_keys(office: Office, **how: str) -> KeyPair:
    """A guest that enrolled, with its key. how: tenant, uuid."""
    key = new_key()
    text = office.issuer.token(how.get("tenant", "default"), how.get("uuid", ""), 3600, PROVIDER).text
    return KeyPair(key_pem(key), shown(office.issuer.enrol(text, asked(key=key))))


def administrator_keys(office: Office, holder: Caller = PROVIDER) -> KeyPair:
    """An administrator's certificate, with its key."""
    key = new_key()
    return KeyPair(key_pem(key), pem_of(office.issuer.issue(holder, csr_for(key), PROVIDER).der))
