"""Web resources as they are asked about."""

import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.feeds.web_address import MAX_INPUT_CHARS, MAX_URL_CHARS, BadUrl
from appliance.ksn.reputation import Call, Subject
from appliance.ksn.weburl import WebResource, parse_url
from tests.support.properties import patient


def asked(text: str) -> list[tuple[str, str]]:
    """The questions about a URL, in short."""
    return [(subject.call.value, subject.value) for subject in parse_url(text).subjects()]


def test_url_then_host_then_registered_domain() -> None:
    """The questions come in that order."""
    assert asked("https://www.shop.example.co.uk/a/b.exe") == [
        ("url", "https://www.shop.example.co.uk/a/b.exe"),
        ("domain", "www.shop.example.co.uk"),
        ("domain", "example.co.uk"),
    ]


def test_a_registered_domain_is_asked_about_once() -> None:
    """No second question where the host is the domain, and no URL where there is no path."""
    assert asked("example.com") == [("domain", "example.com")]


def test_who_rents_a_name_is_not_judged_by_the_landlord() -> None:
    """Under a suffix of the list's private part, the tenant's name is the registered domain."""
    assert asked("https://evil.github.io/") == [("domain", "evil.github.io")]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("HTTP://EXAMPLE.com/Path", "http://example.com/Path"),
        ("example.com/x", "http://example.com/x"),
        ("//example.com/x", "http://example.com/x"),
        ("http:\\\\example.com\\x", "http://example.com/x"),
        ("  http://exam\nple.com/x\t", "http://example.com/x"),
        ("http://example.com./x", "http://example.com/x"),
        ("http://example.com:80/x", "http://example.com/x"),
        ("https://example.com:0443/x", "https://example.com/x"),
        ("https://example.com:80/x", "https://example.com:80/x"),
        ("http://example.com:/x", "http://example.com/x"),
        ("http://example.com/%7euser/%3f%c3%a9", "http://example.com/~user/%3F%C3%A9"),
        ("http://example.com/é b%", "http://example.com/%C3%A9%20b%25"),
        ("http://example.com/a/./b//../c/", "http://example.com/a/c/"),
        ("http://example.com/a/%2e%2E/b/..", "http://example.com/"),
        ("http://example.com/%252e/x", "http://example.com/%252e/x"),
        ("http://ex%61mple.com/x", "http://example.com/x"),
        ("http://straße.de/x", "http://xn--strae-oqa.de/x"),
        ("http://stra%C3%9Fe.de/x", "http://xn--strae-oqa.de/x"),
        ("http://日本%E8%AA%9E.jp/x", "http://xn--wgv71a119e.jp/x"),
        ("http://日本語。jp/x", "http://xn--wgv71a119e.jp/x"),
        ("http://my_host.example.com/x", "http://my_host.example.com/x"),
        ("http://[2001:DB8:0:0::1]:8080/x", "http://[2001:db8::1]:8080/x"),
        ("http://example.com/x?a=b#c", "http://example.com/x"),
        ("http://example.com?x/y", ""),
    ],
)
def test_many_spellings_are_one_url(text: str, url: str) -> None:
    """A URL has one normal form."""
    resource = parse_url(text)
    assert resource.url == ("" if url.count("/") == 3 and url.endswith("/") else url)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7F.1",
        "0177.0.0.01",
        "127.0.0.1.",
        "１２７.０.０.１",  # noqa: RUF001 - digits of full width are what is shown
        "[::ffff:127.0.0.1]",
    ],
)
def test_an_address_is_known_in_every_spelling(host: str) -> None:
    """What a browser takes for 127.0.0.1 is asked about as 127.0.0.1."""
    assert asked(f"http://{host}/x") == [("url", "http://127.0.0.1/x"), ("ip", "127.0.0.1")]


def test_an_ipv6_host_is_asked_about_as_an_address() -> None:
    """Without the brackets, which are of the URL."""
    assert asked("http://[2A00::1]/")[-1] == ("ip", "2a00::1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "http://",
        "http:///",
        "http://@/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "http://exa mple.com/",
        "http://a..b/",
        "http://.example.com/",
        "http://[::1/",
        "http://[::1]x/",
        "http://[fe80::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://example.com:99999/",
        "http://example.com:-1/",
        "http://1.2.3.4.5/",
        "http://256.0.0.1/",
        "http://0x100000000/",
        "http://08.0.0.1/",
        "http://example.1/",
        "http://%ff.com/",
        "http://☃.net/",
        "http://\ud800.com/",
        "http://" + "a" * 64 + ".com/",
        "http://" + ".".join(["a" * 50] * 6) + "/",
        "http://example.com/" + "a" * MAX_INPUT_CHARS,
    ],
)
def test_what_is_no_url_is_told_in_a_sentence(text: str) -> None:
    """It is refused with a reason that is short enough to print."""
    with pytest.raises(BadUrl) as caught:
        parse_url(text)
    assert 10 < len(str(caught.value)) <= 400


def test_credentials_never_leave() -> None:
    """Not in the URL, not in the host, not in the extended form."""
    resource = parse_url("https://bob:s3cret@corp@example.com/x?y")
    assert resource.subjects(extended=True)[0] == Subject(Call.URL, "https://example.com/x", "y")
    assert "s3cret" not in repr(resource)


def test_the_query_string_leaves_in_the_extended_form_only() -> None:
    """It is kept apart; the fragment is gone."""
    resource = parse_url("http://example.com/x?user=%62ob#top")
    assert resource.subjects()[0] == Subject(Call.URL, "http://example.com/x")
    assert resource.subjects(extended=True)[0] == Subject(Call.URL, "http://example.com/x", "user=bob")


def test_a_root_is_asked_about_with_its_query_string_alone() -> None:
    """By those who may send that; for the others the host stands for it."""
    resource = parse_url("http://example.com/?user=bob")
    host = Subject(Call.DOMAIN, "example.com")
    assert resource.subjects() == (host,)
    assert resource.subjects(extended=True) == (Subject(Call.URL, "http://example.com/", "user=bob"), host)


def test_what_is_too_long_is_asked_about_by_its_host() -> None:
    """A path that no service takes hides nothing, and a query that is too long is left out."""
    assert asked("http://example.com/" + "a" * MAX_URL_CHARS) == [("domain", "example.com")]
    long_query = parse_url("http://example.com/x?" + "a" * MAX_URL_CHARS).subjects(extended=True)
    assert long_query[0] == Subject(Call.URL, "http://example.com/x")


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("http://example.com/", True),
        ("http://8.8.8.8/", True),
        ("http://10.1.2.3/", False),
        ("http://[fd00::1]/", False),
        ("http://intranet/payroll", False),
        ("http://host.corp/", False),
    ],
)
def test_hosts_of_an_inner_network_are_told_apart(text: str, public: bool) -> None:
    """Names and addresses that nobody outside can know are marked."""
    assert parse_url(text).public is public


AUTHORITIES = st.from_regex(r"[a-z0-9.\[\]:%@\\_-]{0,30}", fullmatch=True) | st.text(max_size=30)
TEXTS = st.text(max_size=60) | st.builds(
    "{}{}/{}".format, st.sampled_from(["http://", "https:", "ftp:\\", ""]), AUTHORITIES, st.text(max_size=40)
)


@given(TEXTS)
@example("http://\u2488com/")
@example("xn--a/x")
@patient
def test_a_normal_form_is_its_own_normal_form(text: str) -> None:
    """Nothing but BadUrl is raised; what is asked about is ASCII, bounded, and the same when asked again."""
    try:
        resource = parse_url(text)
    except BadUrl:
        return
    for subject in resource.subjects(extended=True):
        assert subject.value.isascii()
        assert subject.value.isprintable()
        assert 0 < len(subject.value) <= MAX_URL_CHARS
    if resource.url:
        assert parse_url(resource.url) == WebResource(
            resource.url, "", resource.host, resource.domain, resource.public, resource.is_address
        )


SECRET = "s3cr3tw0rd"
AROUND = st.text(st.characters(exclude_characters="/\\?#", exclude_categories=["Cs"]), max_size=10)


@given(AROUND, AROUND, st.sampled_from(["example.com", "127.1", "[::1]:8080"]))
@patient
def test_no_spelling_lets_credentials_through(before: str, after: str, host: str) -> None:
    """Whatever stands in front of the last @ of the authority is in no question."""
    resource = parse_url(f"http://{before}{SECRET}{after}@{host}/x?q#f")
    assert SECRET not in repr(resource)
    assert resource.subjects()[0].value.endswith("/x")


def test_nothing_is_fetched_or_written() -> None:
    """The suffix list is the one at hand: no name is looked up, no connection made, no file written."""
    program = """
import os, sys
def watch(event, args):
    wants_to_write = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
    if event in ("socket.connect", "socket.getaddrinfo", "os.mkdir") or wants_to_write:
        os.write(2, f"{event} {args}".encode())
        os._exit(3)
sys.dont_write_bytecode = True
sys.addaudithook(watch)
from appliance.ksn.weburl import parse_url
print(parse_url("http://www.example.co.uk/x").domain)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr, run.returncode) == ("example.co.uk\n", "", 0)
