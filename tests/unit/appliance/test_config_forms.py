"""What a single setting's value may be."""

import pytest

from appliance.config_forms import (
    AbsolutePath,
    AddressOrNothing,
    Choice,
    Form,
    GuestAddress,
    Range,
    SocketPath,
)


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (Range(1, 5), 1),
        (Range(1, 5), 5),
        (Range(0.5, 5), 0.5),
        (Choice("a", "b"), "b"),
        (AbsolutePath(), "/a b"),
        (SocketPath(), "/" + "a" * 103),
        (AddressOrNothing(), ""),
        (AddressOrNothing(), "localhost:65535"),
        (AddressOrNothing(), "[::1]:1"),
        (GuestAddress(), "unix:/run/svm.sock"),
        (GuestAddress(), "tcp:10.0.0.1:7000"),
    ],
)
def test_what_is_allowed_passes(form: Form, value: object) -> None:
    """A value within the bounds gives no sentence."""
    assert form.problem(value) == ""


@pytest.mark.parametrize(
    ("form", "value", "said"),
    [
        (Range(1, 5), 0, "0 is out of range: give 1 to 5"),
        (Range(1, 5), float("inf"), "inf is out of range"),
        (Range(1, 5), float("nan"), "nan is out of range"),
        (Range(1, 5), 10**400, "0 is out of range"),
        (Choice("a", "b"), "c", "'c' is not allowed: give one of a, b"),
        (AbsolutePath(), "a/b", "begin it with /"),
        (AbsolutePath(), "/a\0b", "not an absolute path"),
        (SocketPath(), "/" + "a" * 104, "too long for a socket: give at most 104 bytes"),
        (SocketPath(), "/" + "ä" * 52, "too long for a socket"),
        (SocketPath(), "a.sock", "not an absolute path"),
        (AddressOrNothing(), "localhost", "give HOST:PORT"),
        (AddressOrNothing(), ":80", "give HOST:PORT"),
        (AddressOrNothing(), "a:0", "a port of 1 to 65535"),
        (AddressOrNothing(), "a:65536", "a port of 1 to 65535"),
        (AddressOrNothing(), "a:٣", "a port of 1 to 65535"),
        (GuestAddress(), "/run/svm.sock", "give unix:/PATH or tcp:HOST:PORT"),
        (GuestAddress(), "unix:run/svm.sock", "not an absolute path"),
        (GuestAddress(), "tcp:7000", "give HOST:PORT"),
    ],
)
def test_what_is_not_allowed_is_told_with_what_is(form: Form, value: object, said: str) -> None:
    """A value out of bounds gives a sentence that names the bounds."""
    assert said in form.problem(value)
