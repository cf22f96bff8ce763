"""The doors that others reach over a network."""

import pytest

from appliance.config_doors import ServerSettings
from appliance.packet_filter.doors import TcpDoor, tcp_doors


def test_unix_sockets_and_metrics_are_none() -> None:
    """Nothing comes to the first over a network; the second is no door of gRPC."""
    assert tcp_doors(ServerSettings(metrics="127.0.0.1:9470")) == ()


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("[fd00::1]", "fd00::1"),
        ("[fe80::1%eth0]", "fe80::1"),
        ("[::ffff:10.0.0.1]", "10.0.0.1"),
        ("0.0.0.0", ""),
        ("[::]", ""),
        ("[::ffff:0.0.0.0]", ""),
        ("svm.example", ""),
    ],
)
def test_all_others_are_known_by_address_and_port(host: str, address: str) -> None:
    """By the port alone where the SVM listens everywhere, or the address is not known before."""
    server = ServerSettings(listen=f"tcp:{host}:1", enrolment=f"{host}:2", admin_listen=f"{host}:3")
    assert tcp_doors(server) == (
        TcpDoor("guests", address, 1),
        TcpDoor("enrolment", address, 2),
        TcpDoor("administration", address, 3),
    )
