"""Opens connections through the rules of the packet filter, and prints as JSON what came of it.

Run by in_network_apart, with the limits as JSON. Of each address 12 connections are held at once, by IPv4 at
one door and by IPv6 at another; then another address opens and closes some, one after the other, until one is
dropped.
"""

import json
import socket
import struct
import subprocess
import sys
from contextlib import ExitStack
from typing import Any

from appliance.config import Settings
from appliance.config_doors import ServerSettings
from appliance.config_limits import Limits
from appliance.packet_filter.nft import apply, loaded
from appliance.packet_filter.rules import mark, rules

GUESTS, ENROLMENT = 7443, 7444
MANY = 12
AGAIN = 300  # of those that are closed at once
PATIENCE = 1.0  # seconds after which a connection that the filter drops is taken for dropped
# A neighbour of one /64 counts as the same machine; of another, as another.
ADDRESSES = ("127.0.0.2", "127.0.0.3", "fd00::2", "fd00:0:0:1::2")
SETTINGS = ServerSettings(listen=f"tcp:127.0.0.1:{GUESTS}", enrolment=f"[::]:{ENROLMENT}")


def main(limits: dict[str, int]) -> dict[str, Any]:
    """Do it."""
    for address in (*ADDRESSES[2:], "fd00::3"):
        subprocess.run(["ip", "address", "add", f"{address}/128", "dev", "lo", "nodad"], check=True)
    settings = Settings(server=SETTINGS, limits=Limits(**limits))  # type: ignore[arg-type]  # numbers, by name
    before = loaded()
    apply(rules(settings))
    apply(rules(settings))  # in place of itself
    with ExitStack() as held:
        for family, host, port in ((socket.AF_INET, "127.0.0.1", GUESTS), (socket.AF_INET6, "::", ENROLMENT)):
            listening = held.enter_context(
                socket.create_server((host, port), family=family, backlog=2 * AGAIN)
            )
            listening.setblocking(False)
        came = {address: _open(held, address, ENROLMENT) for address in ADDRESSES[2:]}
        came["fd00::3"] = _open(held, "fd00::3", ENROLMENT)  # of the first one's /64
        came |= {address: _open(held, address, GUESTS) for address in ADDRESSES[:2]}
        again = _again()
    found = loaded()
    thinned = _guarded_without("flush chain inet kvmla enrolment")
    flushed = _guarded_without("flush chain inet kvmla input")
    apply(rules(Settings()))
    return {
        "before": before is None,
        "in": came,
        "again": again,
        "dropped": found.dropped if found else {},
        "marked": found is not None and found.mark == mark(settings),
        "guarded": sorted(found.guarded) if found else [],
        "thinned": thinned,
        "flushed": flushed,
        "after": loaded() is None,
    }


def _guarded_without(rules_taken_out: str) -> list[str]:
    """The doors that are guarded after somebody has taken rules out by hand."""
    subprocess.run(["nft", rules_taken_out], check=True)
    left = loaded()
    return sorted(left.guarded) if left else []


def _open(held: ExitStack, address: str, port: int) -> int:
    """How many of the connections from an address came through."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for opened in range(MANY):
        one = held.enter_context(socket.socket(family))
        if not _comes_in(one, address, port):
            return opened
    return MANY


def _again() -> int:
    """How many came through that were closed at once, before one was dropped."""
    for opened in range(AGAIN):
        with socket.socket() as one:  # is over when it is closed: nobody has to take it in
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if not _comes_in(one, "127.0.0.4", GUESTS):
                return opened
    return AGAIN


def _comes_in(one: socket.socket, address: str, port: int) -> bool:
    one.settimeout(PATIENCE)
    one.bind((address, 0))
    try:
        one.connect(("::1" if ":" in address else "127.0.0.1", port))
    except TimeoutError:
        return False
    return True


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
