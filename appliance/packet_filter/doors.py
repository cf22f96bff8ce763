"""The doors of the SVM that others reach over a network."""

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from appliance.config_doors import ServerSettings

_NAMES = {"listen": "guests", "enrolment": "enrolment", "admin_listen": "administration"}


@dataclass(frozen=True, slots=True)
class TcpDoor:
    """name: guests, enrolment or administration. address: "" for any of the machine's."""

    name: str
    address: str
    port: int


def tcp_doors(server: ServerSettings) -> tuple[TcpDoor, ...]:
    """Those that are on TCP by the settings, /metrics apart."""
    return tuple(_door(_NAMES[setting], text) for setting, text in server.on_tcp.items())


def _door(name: str, text: str) -> TcpDoor:
    host, _, port = text.rpartition(":")
    try:
        address = ip_address(host.strip("[]").partition("%")[0])  # of a zone the rules need to know nothing
    except ValueError:  # a name: which addresses it has is not known before the SVM listens there
        return TcpDoor(name, "", int(port))
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped  # as what comes to it is addressed
    return TcpDoor(name, "" if address.is_unspecified else str(address), int(port))
