"""What a single setting's value may be."""

import pytest

from appliance.config_forms import (
    AbsolutePath,
    AddressOrNothing,
    Choice,
    Form,
    GuestAddress,
    HostOrNothing,
    PathOrNothing,
    ProxyOrNothing,
    Range,
    ServiceUrlOrNothing,
    SocketPath,
)
from appliance.ksn.opentip import Endpoint, OpenTip

SERVICES = [
    "https://opentip.kaspersky.com/api/v1/",
    "https://ksn.corp.example",
    "https://10.0.0.1:8443/a",
    "https://[fd00::1]:8443/",
    "HTTPS://KSN",
    "http://localhost:8080",
    "http://127.0.0.1/api",
    "http://[::1]:8080/",
]


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
        (AddressOrNothing(), "[fe80::1%eth0]:1"),
        (AddressOrNothing(), "svm-1.example.org:1"),
        (HostOrNothing(), ""),
        (HostOrNothing(), "10.113.0.2"),
        (HostOrNothing(), "svm-1.example.org"),
        (HostOrNothing(), "fd00::2"),
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
        (HostOrNothing(), "svm:7443", "without a port"),
        (HostOrNothing(), "[fd00::2]", "without brackets"),
        (HostOrNothing(), "a b", "is no host"),
        (HostOrNothing(), "x" * 300, "is no host"),
        (AddressOrNothing(), ":80", "give HOST:PORT"),
        (AddressOrNothing(), "::1:80", "an IPv6 host in brackets"),
        (AddressOrNothing(), "[fe80::1%a;b]:80", "give HOST:PORT"),
        (AddressOrNothing(), "[fe80::1%a\n]:80", "give HOST:PORT"),
        (AddressOrNothing(), "a b:80", "give HOST:PORT"),
        (AddressOrNothing(), "a" * 300 + ":80", "give HOST:PORT"),
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


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (PathOrNothing(), ""),
        (PathOrNothing(), "/etc/key"),
        (ServiceUrlOrNothing(), ""),
        *((ServiceUrlOrNothing(), url) for url in SERVICES),
        (ProxyOrNothing(), ""),
        (ProxyOrNothing(), "http://proxy:3128"),
        (ProxyOrNothing(), "http://user:pass@10.0.0.1:3128/"),
        (ProxyOrNothing(), "http://[fd00::1]:3128"),
    ],
)
def test_what_may_be_left_out_passes_empty_and_given(form: Form, value: str) -> None:
    """An empty text stands for nothing, and what is allowed gives no sentence."""
    assert form.problem(value) == ""


@pytest.mark.parametrize(
    ("form", "value", "said"),
    [
        (PathOrNothing(), "key", "begin it with /"),
        (PathOrNothing(), " ", "not an absolute path"),
        (ServiceUrlOrNothing(), "ksn.corp.example", "is no base URL: give https://HOST"),
        (ServiceUrlOrNothing(), "ftp://ksn", "is no base URL"),
        (ServiceUrlOrNothing(), "https://", "is no base URL"),
        (ServiceUrlOrNothing(), "https:///api", "is no base URL"),
        (ServiceUrlOrNothing(), "https://ksn:0x50/", "is no base URL"),
        (ServiceUrlOrNothing(), "https://ksn:65536/", "is no base URL"),
        (ServiceUrlOrNothing(), "https://[ksn/", "is no base URL"),
        (ServiceUrlOrNothing(), "https://ksn/?a=b", "without a user, a query or a fragment"),
        (ServiceUrlOrNothing(), "https://ksn/#a", "is no base URL"),
        (ServiceUrlOrNothing(), "https://k\nsn/", "is no base URL"),
        (ServiceUrlOrNothing(), "https://ksn /", "is no base URL"),
        (ServiceUrlOrNothing(), "https://ksñ/", "is no base URL"),
        (ServiceUrlOrNothing(), "https://" + "k" * 1000, "is no base URL"),
        (ServiceUrlOrNothing(), "http://ksn.corp.example/", "would send the API key in the clear"),
        (ServiceUrlOrNothing(), "http://127.0.0.1.corp.example/", "give an https:// URL"),
        (ProxyOrNothing(), "proxy:3128", "is no proxy: give http://HOST:PORT"),
        (ProxyOrNothing(), "http://proxy", "is no proxy"),
        (ProxyOrNothing(), "http://proxy:0", "is no proxy"),
        (ProxyOrNothing(), "socks5://proxy:1080", "is no proxy"),
        (ProxyOrNothing(), "http://proxy:3128/path", "is no proxy"),
    ],
)
def test_what_is_neither_nothing_nor_allowed_is_refused(form: Form, value: str, said: str) -> None:
    """The sentence says which form there is."""
    assert said in form.problem(value)


@pytest.mark.parametrize("form", [ServiceUrlOrNothing(), ProxyOrNothing()])
def test_a_password_in_a_url_is_not_shown(form: Form) -> None:
    """What is refused may hold a secret, and sentences end in logs."""
    assert form.problem("https://user:secret@host:1/")
    assert "secret" not in form.problem("https://user:secret@host:1/")


@pytest.mark.parametrize("url", SERVICES)
def test_the_driver_takes_every_service_that_may_be_set(url: str) -> None:
    """What the settings allow as an endpoint is none that the client refuses when the SVM starts."""
    assert OpenTip("ksn", Endpoint(url, api_key="key")).name == "ksn"
