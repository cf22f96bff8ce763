"""Tests of what an SVM is called."""

import pytest

from guest_stub.svm_link.target import NotEnrolled, Svm, host_and_port, svm_of


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("tcp:10.0.0.1:7443", "10.0.0.1:7443"),
        ("tcp:[::1]:7443", "[::1]:7443"),
        ("tcp:svm", ""),
        ("tcp::7443", ""),
        ("tcp:svm:", ""),
        ("unix:/run/svm.sock", ""),
        ("http://svm:80", ""),
        ("", ""),
    ],
)
def test_an_address_on_tcp_has_a_host_and_a_port(address: str, place: str) -> None:
    """Any other is none."""
    assert host_and_port(address) == place


def test_a_text_is_an_svm_that_nobody_proves_himself_to() -> None:
    """Asked for a proof all the same, it says what to do."""
    assert svm_of("unix:/x").address == "unix:/x"
    known = Svm("tcp:h:1")
    assert svm_of(known) is known
    with pytest.raises(NotEnrolled, match="run: guest-stub enrol"):
        known.proof()
