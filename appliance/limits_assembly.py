"""What bounds guests, wired up: a part of `composition`."""

import time

from appliance.config_limits import Limits
from appliance.rpc.connections import Connections, Door, Watched
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


def watch_guests(connections: Connections, address: Address, limits: Limits, sessions: Sessions) -> None:
    """Have the guests' door looked at; the connection of a guest which takes nothing is cut."""
    watched = watched_door(address, limits, sessions, "connections")
    connections.watch(watched)
    sessions.on_stuck.append(lambda peer: connections.cut(watched, peer))


def watched_door(address: Address, limits: Limits, sessions: Sessions, setting: str) -> Watched:
    """A door of whose connections nobody is to have too many. setting: how many it takes of everybody.

    On a unix socket a user may have one for each of his tickets beside those that an address may have.
    """
    of_one, of_all = limits.connections_per_address, getattr(limits, setting)
    if address.path is not None:
        door, of_one = Door(path=str(address.path)), of_one + limits.tickets_per_user
    else:
        door = Door(port=int(address.target.rpartition(":")[2]))

    def over(who: str, number: int) -> None:
        sentence = f"more than {of_one} connections at once, those over it are closed"
        sessions.too_many_connections(who, number, f"{sentence}: see limits.connections_per_address")

    def full() -> None:
        sessions.door_full(f"limits.{setting}", f"{of_all} connections, which is all that the door takes")

    return Watched(door, of_one, of_all, lambda peer: peer in sessions.peers, over, full)
