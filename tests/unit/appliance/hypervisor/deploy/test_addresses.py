"""The addresses of the two networks."""

from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from appliance.hypervisor.deploy.addresses import addresses_of, check_free, mac_of
from appliance.hypervisor.deploy.deployment import BadDeployment, Deployment


def test_the_svm_stands_beside_its_host() -> None:
    """On a network of their own, where administrators come in."""
    found = addresses_of(Deployment())
    assert (str(found.host), str(found.svm), found.admin) == (
        "10.113.1.1/24",
        "10.113.1.2/24",
        "10.113.1.2:7445",
    )
    last = addresses_of(replace(Deployment(), host_address="10.113.1.254/24"))
    assert str(last.svm.ip) == "10.113.1.253"


def test_what_guests_are_given_leaves_out_the_svm() -> None:
    """And what is kept for fixed addresses."""
    assert addresses_of(Deployment()).given is not None
    assert [str(each) for each in addresses_of(Deployment()).given or ()] == ["10.113.0.16", "10.113.0.254"]
    assert addresses_of(replace(Deployment(), address="10.113.0.100/24")).given is None
    assert addresses_of(replace(Deployment(), address="10.113.0.2/29")).given is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"address": "10.113.0.2"}, "--address '10.113.0.2' is no address with its prefix"),
        ({"address": "fd00::1/64"}, "is no address with its prefix"),
        ({"address": "10.0.0.1/8"}, "of a network of /16 to /29"),
        ({"address": "8.8.8.8/24"}, "not an address of a private network"),
        ({"address": "10.113.0.0/24"}, "not an address of a private network"),
        ({"host_address": "10.113.0.9/24"}, "overlap: give two apart"),
    ],
)
def test_what_is_none_is_a_sentence(changes: dict[str, str], sentence: str) -> None:
    """It names the argument."""
    with pytest.raises(BadDeployment, match=sentence):
        addresses_of(replace(Deployment(), **changes))  # type: ignore[arg-type]


def test_an_address_that_is_in_use_is_refused() -> None:
    """With whose it is."""
    with pytest.raises(
        BadDeployment, match=r"--address 10.113.0.2/24 is in use: the network lab has 10.113.0.0/16"
    ):
        check_free(addresses_of(Deployment()), [("the network lab", IPv4Network("10.113.0.0/16"))])
    check_free(addresses_of(Deployment()), [("the network lab", IPv4Network("10.112.0.0/16"))])


def test_hardware_addresses_stay() -> None:
    """The seed names them before there is a machine; two networks have two."""
    assert mac_of("a", "n") == mac_of("a", "n") != mac_of("a", "m")
    assert mac_of("a", "n").startswith("52:54:00:")
