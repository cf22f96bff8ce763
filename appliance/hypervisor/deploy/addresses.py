"""The addresses of the two networks, and the hardware addresses of the SVM on them."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from appliance.hypervisor.deploy.deployment import BadDeployment, Deployment

GUESTS_PORT, ENROLMENT_PORT, ADMIN_PORT = 7443, 7444, 7445

_MIN_PREFIX, _MAX_PREFIX = 16, 29
_FIRST_GUEST = 16  # what is below is for the SVM, and for hosts that have addresses of their own


@dataclass(frozen=True, slots=True)
class Addresses:
    """guests: the SVM's where guests come in. host: the host's own. svm: the SVM's beside it.

    given: the first and the last address that guests may be given, None where there is no room.
    """

    guests: IPv4Interface
    host: IPv4Interface
    svm: IPv4Interface
    given: tuple[IPv4Address, IPv4Address] | None

    @property
    def admin(self) -> str:
        """HOST:PORT of the administrators' door."""
        return f"{self.svm.ip}:{ADMIN_PORT}"


def addresses_of(deployment: Deployment) -> Addresses:
    """Read them. Raises BadDeployment."""
    guests = _interface("--address", deployment.address)
    host = _interface("--host-address", deployment.host_address)
    if guests.network.overlaps(host.network):
        raise BadDeployment(
            f"--address {guests} and --host-address {host} are of networks that overlap: give two apart"
        )
    beside = host.ip + 1
    if beside not in host.network or beside == host.network.broadcast_address:
        beside = host.ip - 1
    return Addresses(guests, host, IPv4Interface(f"{beside}/{host.network.prefixlen}"), _given(guests))


def check_free(addresses: Addresses, taken: Iterable[tuple[str, IPv4Network]]) -> None:
    """Raise BadDeployment where an address is of a network that is there. taken: whose, and which."""
    for whose, network in taken:
        for what, wanted in (("--address", addresses.guests), ("--host-address", addresses.host)):
            if wanted.network.overlaps(network):
                raise BadDeployment(
                    f"{what} {wanted} is in use: {whose} has {network}; give another, such as 10.114.0.2/24"
                )


def mac_of(name: str, network: str) -> str:
    """The SVM's hardware address on a network: the same each time, so that its seed can name it."""
    digest = hashlib.sha256(f"{name}\n{network}".encode()).hexdigest()
    return ":".join(("52:54:00", digest[:2], digest[2:4], digest[4:6]))


def _interface(what: str, text: str) -> IPv4Interface:
    found: IPv4Interface | None
    try:
        found = IPv4Interface(text)
    except ValueError:
        found = None
    if found is None or "/" not in text or not _MIN_PREFIX <= found.network.prefixlen <= _MAX_PREFIX:
        raise BadDeployment(
            f"{what} {text[:80]!r} is no address with its prefix: give one such as 10.113.0.2/24, "
            f"of a network of /{_MIN_PREFIX} to /{_MAX_PREFIX}"
        )
    if not found.network.is_private or found.ip in (
        found.network.network_address,
        found.network.broadcast_address,
    ):
        raise BadDeployment(f"{what} {text[:80]} is not an address of a private network: give another")
    return found


def _given(guests: IPv4Interface) -> tuple[IPv4Address, IPv4Address] | None:
    network = guests.network
    first, last = network.network_address + _FIRST_GUEST, network.broadcast_address - 1
    if first > last or first <= guests.ip <= last:
        return None
    return first, last
