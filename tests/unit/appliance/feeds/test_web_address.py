"""A web address in its one normal form. `test_weburl` and `test_subjects` try many more spellings."""

import ipaddress

import pytest

from appliance.feeds.web_address import MAX_INPUT_CHARS, BadUrl, WebAddress, parse_host, parse_web_address


def test_an_address_is_taken_apart() -> None:
    """Normal URL, query string and host; credentials and the fragment are gone."""
    web = parse_web_address("HTTPS://user:pw@WWW.Example.com:8443/a//../b?x=%7e#y")
    assert web == WebAddress("https://www.example.com:8443/b", "x=~", "www.example.com", None, False)
    assert web.whole == "https://www.example.com:8443/b?x=~"


@pytest.mark.parametrize(
    "text", ["http://h.example", "h.example/", "http://h.example/a/..", "//h.example:8/"]
)
def test_a_root_is_known_as_one(text: str) -> None:
    """However its path is written; a query string stands beside that."""
    assert parse_web_address(text).is_root
    assert parse_web_address(text + "?q").whole.endswith("/?q")


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("127.1", "127.0.0.1"),
        ("0X7F000001", "127.0.0.1"),
        ("[::ffff:7f00:1]", "127.0.0.1"),
        ("[2001:DB8::1]", "2001:db8::1"),
    ],
)
def test_an_address_of_the_internet_protocol_is_seen_in_every_spelling(text: str, host: str) -> None:
    """Those that browsers take."""
    assert parse_host(text) == (ipaddress.ip_address(host), host)


def test_a_name_is_made_ascii() -> None:
    """By IDNA 2008, in lower case, without the last dot."""
    assert parse_host("BÜCHER.example.") == (None, "xn--bcher-kva.example")


@pytest.mark.parametrize(
    "text",
    ["", "gopher://h.example/", "http://a..b/", "http://h:99999/", "a" * (MAX_INPUT_CHARS + 1), "\ud800"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """With BadUrl, whatever was wrong."""
    with pytest.raises(BadUrl):
        parse_web_address(text)
