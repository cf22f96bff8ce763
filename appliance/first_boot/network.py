"""The networks of an SVM as systemd-networkd reads them."""

from appliance.first_boot.seed import Card, Seed


def network_files(seed: Seed) -> dict[str, str]:
    """The files of /etc/systemd/network, by name. They come before those that anything else writes there."""
    cards = {"guests": seed.guests, "host": seed.host}
    return {f"05-kvmla-{name}.network": _file(card) for name, card in cards.items() if card is not None}


def _file(card: Card) -> str:
    """Nothing is taken from the network itself: no address, no route, no name server."""
    serves = "" if card.dhcp is None else "DHCPServer=yes\n"
    return f"""[Match]
MACAddress={card.mac}
Type=ether

[Network]
Address={card.address}
LinkLocalAddressing=no
IPv6AcceptRA=no
ConfigureWithoutCarrier=yes
{serves}{_server(card)}"""


def _server(card: Card) -> str:
    """It gives addresses, and no way out: nothing but the SVM is reached on that network."""
    if card.dhcp is None:
        return ""
    first, last = card.dhcp
    offset = int(first) - int(card.address.network.network_address)
    return f"""
[DHCPServer]
PoolOffset={offset}
PoolSize={int(last) - int(first) + 1}
EmitRouter=no
EmitDNS=no
EmitNTP=no
EmitTimezone=no
DefaultLeaseTimeSec=12h
"""
