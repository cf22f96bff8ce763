"""The networks of an SVM."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface

from appliance.first_boot.network import network_files
from appliance.first_boot.seed import Card, Seed

GUESTS = Card(
    "52:54:00:00:00:01",
    IPv4Interface("10.113.0.2/24"),
    (IPv4Address("10.113.0.16"), IPv4Address("10.113.0.254")),
)
HOST = Card("52:54:00:00:00:02", IPv4Interface("10.113.1.2/24"))
SEED = Seed("svm", GUESTS, HOST, (), "", ())


def test_each_card_has_its_address_and_takes_nothing_from_the_network() -> None:
    """Found by its hardware address."""
    files = network_files(SEED)
    assert list(files) == ["05-kvmla-guests.network", "05-kvmla-host.network"]
    for card, text in zip((GUESTS, HOST), files.values(), strict=True):
        assert f"MACAddress={card.mac}\n" in text
        assert f"Address={card.address}\n" in text
        assert "DHCP=" not in text
        assert "Gateway" not in text


def test_guests_get_addresses_and_no_way_out() -> None:
    """From the first to the last that is given; the host gets none."""
    files = network_files(SEED)
    guests = files["05-kvmla-guests.network"]
    assert "DHCPServer=yes" in guests
    assert "PoolOffset=16\nPoolSize=239\nEmitRouter=no\nEmitDNS=no\n" in guests
    assert "DHCPServer" not in files["05-kvmla-host.network"]


def test_a_network_that_is_not_there_has_no_file() -> None:
    """One card does."""
    assert list(network_files(replace(SEED, host=None))) == ["05-kvmla-guests.network"]
