"""What bounds guests, wired up: a part of `composition`."""

import time

from appliance.config_limits import Limits
from appliance.rpc.connections import Connections, Door
from appliance.rpc.server import Address
from appliance.rpc.sessions import Sessions
from appliance.scanning.scanner import Scanner
from appliance.scanning.spool import Spool


def assemble_sessions(limits: Limits, scanner: Scanner) -> tuple[Sessions, Spool]:
    """The guests, and the room for their uploads; room and workers are shared with regard to who is here."""
    whole, file, guest = limits.spool_mib << 20, limits.max_file_mib << 20, limits.guest_spool_mib << 20
    spool = Spool(whole, file, guest, limits.tenant.spool_percent)
    sessions = Sessions(limits.max_guests, time.time, limits)
    spool.company = sessions.company
    scanner.beside(sessions.company)
    return sessions, spool


def assemble_connections(address: Address, limits: Limits, sessions: Sessions) -> Connections:
    """The connections of the guests' door; that of a guest which takes nothing is cut."""
    connections = connections_of(address, limits, sessions)
    sessions.on_stuck.append(connections.cut)
    return connections


def connections_of(address: Address, limits: Limits, sessions: Sessions) -> Connections:
    """The connections of a door, of which nobody is to have too many.

    On a unix socket a user may have one for each of his tickets beside those that an address may have.
    """
    if address.path is not None:
        door, most = Door(path=str(address.path)), limits.connections_per_address + limits.tickets_per_user
    else:
        door, most = Door(port=int(address.target.rpartition(":")[2])), limits.connections_per_address

    def over(who: str, number: int) -> None:
        sentence = f"more than {most} connections at once, those over it are closed"
        sessions.too_many_connections(who, number, f"{sentence}: see limits.connections_per_address")

    return Connections(door, most, lambda peer: peer in sessions.peers, over)
