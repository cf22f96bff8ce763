"""The rules that keep one address from having all of a door, as nftables reads them.

Only what opens a connection is looked at (SYN): connections that there are cost nothing, and stay when rules
are put in place of others. What comes too fast, and what an address has too much of at once, is dropped
without an answer, and counted by door. An IPv6 address counts by its first 64 bits, as in rpc/connections.py.
Where a set is full, of so many addresses, who is not in it is let in: the door's own bounds remain.
"""

import hashlib

from appliance.config import Settings
from appliance.config_limits import Limits
from appliance.packet_filter.doors import TcpDoor, tcp_doors

TABLE = ("inet", "kvmla")
_NAME = " ".join(TABLE)
ADDRESSES = 65535  # that are known at once, of each door and kind; an address takes some 200 bytes

_HEAD = f"""\
# The packet filter of an SVM, as `svm packet-filter` prints it by the settings. `nft -f` takes all of it or
# nothing, in place of an older one; other tables are left alone.
table {_NAME}
delete table {_NAME}
"""
_NONE = "# All doors are unix sockets: nothing is to be filtered.\n"

# Family: type of a set, what counts as one machine.
_FAMILIES = {"4": ("ipv4_addr", "ip saddr"), "6": ("ipv6_addr", "ip6 saddr & ffff:ffff:ffff:ffff::")}
DROPS_OF_DOOR = 2 * len(_FAMILIES)  # rules: too fast, too many
_OPENS = "tcp flags & (fin | syn | rst | ack) == syn"


def rules(settings: Settings) -> str:
    """All of them, for `nft -f -`; where no door is on TCP such that take away what is there."""
    body = _body(settings)
    table = f'table {_NAME} {{\n\tcomment "{_mark(body)}"\n{body}}}\n'
    return _HEAD + (table if body else _NONE)


def mark(settings: Settings) -> str:
    """What these rules are known by in the kernel; "" where there are none. Other settings, another mark."""
    body = _body(settings)
    return _mark(body) if body else ""


def _mark(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def _body(settings: Settings) -> str:
    """What is in the table; "" where all doors are unix sockets."""
    doors = tcp_doors(settings.server)
    if not doors:
        return ""
    jumps = "".join(f"\t\t{_to(door)} {_OPENS} jump {door.name}\n" for door in doors)
    hook = "\t\ttype filter hook input priority filter; policy accept;\n"
    chains = "".join(_door(door.name, settings.limits) for door in doors)
    return f"{chains}\tchain input {{\n{hook}{jumps}\t}}\n"


def _to(door: TcpDoor) -> str:
    family = "ip6" if ":" in door.address else "ip"
    return (
        f"{family} daddr {door.address} tcp dport {door.port}" if door.address else f"tcp dport {door.port}"
    )


def _door(name: str, limits: Limits) -> str:
    """The chain of a door, with what it counts by."""
    counters = "".join(f"\tcounter {name}_{why} {{ }}\n" for why in ("too_fast", "too_many"))
    sets, chain = "", ""
    for family, (kind, machine) in _FAMILIES.items():
        new, held = f"{name}_new{family}", f"{name}_open{family}"
        size = f"type {kind}; size {ADDRESSES};"
        sets += f"\tset {new} {{ {size} flags dynamic, timeout; timeout 1m; }}\n"
        sets += f"\tset {held} {{ {size} flags dynamic; }}\n"
        rate, most = limits.new_connections_per_second, limits.connections_per_address
        fast = f"limit rate over {rate}/second burst {most} packets"
        chain += f"\t\tupdate @{new} {{ {machine} {fast} }} counter name {name}_too_fast drop\n"
        chain += f"\t\tadd @{held} {{ {machine} ct count over {most} }} counter name {name}_too_many drop\n"
    return f"{counters}{sets}\tchain {name} {{\n{chain}\t}}\n"
