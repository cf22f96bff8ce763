"""Rules in the kernel, in a network of the test's own."""

import json
from typing import Any

import pytest

from appliance.packet_filter.nft import Loaded, PacketFilterError, apply, loaded, read
from tests.support.filtered_connections import AGAIN, MANY
from tests.support.networks import in_network_apart


def filtered(**limits: int) -> dict[str, Any]:
    """What comes through the rules of these limits."""
    ran = in_network_apart("tests.support.filtered_connections", json.dumps(limits))
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    assert (found["before"], found["marked"], found["after"]) == (True, True, True)
    assert (found["guarded"], found["flushed"], found["thinned"]) == (["enrolment", "guests"], [], ["guests"])
    return found


def test_an_address_has_so_many_at_once_and_no_more() -> None:
    """Of IPv6 a /64 has, at each door for itself; each other address as many; what is dropped is counted."""
    found = filtered(connections_per_address=8, new_connections_per_second=100_000)
    assert found["in"] == {
        "fd00::2": 8,
        "fd00::3": 0,
        "fd00:0:0:1::2": 8,
        "127.0.0.2": 8,
        "127.0.0.3": 8,
    }
    assert found["dropped"]["guests_too_many"] >= 2
    assert found["dropped"]["enrolment_too_many"] >= 3
    assert found["dropped"]["guests_too_fast"] == found["dropped"]["enrolment_too_fast"] == 0


def test_an_address_opens_so_many_a_second_and_no_more() -> None:
    """After as many in one go as it may have, also where it closes each at once."""
    found = filtered(connections_per_address=MANY, new_connections_per_second=1)
    assert MANY <= found["again"] < AGAIN
    assert found["dropped"]["guests_too_fast"] >= 1
    assert found["dropped"]["guests_too_many"] == 0


def test_who_keeps_to_the_bounds_notices_nothing() -> None:
    """Nothing is dropped."""
    found = filtered(new_connections_per_second=100_000)
    assert {*found["in"].values(), found["again"]} == {MANY, AGAIN}
    assert not any(found["dropped"].values())


def test_what_nft_does_not_take_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """In its own words; where it is not installed, what to install."""
    with pytest.raises(PacketFilterError, match=r"nft does not do it: .*syntax error"):
        apply("no rules")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("appliance.packet_filter.nft._PATH", "/nowhere/else")
    with pytest.raises(PacketFilterError, match="nft is not installed: `apt-get install nftables`"):
        loaded()


def test_a_table_of_somebody_else_has_no_mark() -> None:
    """Whatever it counts."""
    listed = "table inet kvmla {\n\tcounter guests_too_fast {\n\t\tpackets 12 bytes 720\n\t}\n}\n"
    assert read(listed) == Loaded("", {"guests_too_fast": 12})
    assert read("") == Loaded("")
