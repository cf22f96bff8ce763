"""What can be asked about, and how it is spelt alike."""

import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.strategies import lists, sampled_from

from appliance.feeds.web_address import BadUrl
from appliance.ksn import weburl as svm_url
from appliance.ksn.reputation import Call
from appliance.ksn.reputation import Subject as AskedAbout
from appliance.private_ksn.subjects import (
    MAX_KEPT_URL_BYTES,
    BadSubject,
    SubjectTooLong,
    parse_any,
    parse_domain,
    parse_hash,
    parse_ip,
    parse_url,
    parse_web,
    subject_of,
)
from tests.support.properties import patient

WEB_TEXTS = st.text(max_size=60) | st.builds(
    "{}{}{}".format,
    sampled_from(["http://", "https://", "ftp:\\", "//", ""]),
    sampled_from(["h.example", "0x7f.1", "2130706433", "[::1]", "bücher.example:80", "u:p@h.example:8"])
    | st.text(max_size=20),
    st.text(max_size=40) | st.text("/\\.?#%[]{}x2eé", max_size=20).map("/".__add__),
)


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("HTTP://Bad.Example:80/A", "http://bad.example/A"),
        ("https://bad.example:443/x", "https://bad.example/x"),
        ("https://bad.example:8443/x", "https://bad.example:8443/x"),
        ("http://user:secret@bad.example/x#part", "http://bad.example/x"),
        ("http://bad.example./x", "http://bad.example/x"),
        ("http://b%41d.example/%7euser/%2f?q=%zz", "http://bad.example/~user/%2F?q=%25zz"),
        ("http://bad.example/%4%41", "http://bad.example/%254A"),
        ("http://bücher.example/ü", "http://xn--bcher-kva.example/%C3%BC"),
        ("http://[2001:DB8::1]:80/x", "http://[2001:db8::1]/x"),
        ("http://10.0.0.1/x", "http://10.0.0.1/x"),
        ("http://under_score.example/x", "http://under_score.example/x"),
        ("http://bad.example//a/./b/../c//d", "http://bad.example/a/c/d"),
        ("http://bad.example/a\\b", "http://bad.example/a/b"),
        ("http://bad.example/[x]{y}", "http://bad.example/%5Bx%5D%7By%7D"),
        ("http://2130706433/x", "http://127.0.0.1/x"),
        ("http://0x7f.1/x", "http://127.0.0.1/x"),
        ("http://0177.0.0.1/x", "http://127.0.0.1/x"),
        ("http://bad.example/?q=1", "http://bad.example/?q=1"),
    ],
)
def test_a_url_has_one_normal_form(url: str, normal: str) -> None:
    """What a server would see as the same is the same; a normal form is its own."""
    assert parse_url(url).text == normal
    assert parse_url(normal).key == parse_url(url).key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bad.example",
        "http://bad.example",
        "http://",
        "javascript:x",
        "http://a:b/x",
        "http://a b/x",
        "http://[::1/x",
        "http://bad.example:99999/x",
        "http://300.1.1.1/x",
        "http://" + "a" * 64 + ".example/x",
    ],
)
def test_what_is_no_url_is_refused(text: str) -> None:
    """No scheme, no host, no path, no such port."""
    with pytest.raises(BadSubject):
        parse_url(text)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("http://203.0.113.77:38372/", "203.0.113.77"),
        ("http://root1.example.com/", "root1.example.com"),
        ("http://root1.example.com", "root1.example.com"),
        ("https://root1.example.com:8443/#x", "root1.example.com"),
        ("http://root1.example.com/a/..", "root1.example.com"),
        ("http://3405803853:8080", "203.0.113.77"),
        ("http://[2001:db8::1]:80/", "2001:db8::1"),
    ],
)
def test_a_root_is_entered_as_its_host(text: str, host: str) -> None:
    """Clients ask about no URL there, and never about a port: they ask for the name or the address."""
    assert parse_web(text) == (parse_ip if host[0] in "23" else parse_domain)(host)
    assert parse_any(text) == parse_web(text)


@patient
@given(WEB_TEXTS)
@example("http://203.0.113.77:38372/")
@example("http://h.example//a/../[x]{y}\\z")
@example("http://0x7f000001/x?a=b")
def test_what_the_svm_asks_about_is_what_was_entered(text: str) -> None:
    """Of any text that is taken from a feed, one of the SVM's questions about the same text finds the entry.

    A query string leaves in extended mode only, so an entry that has one is found in that mode only: the
    path alone may be a service that everybody uses.
    """
    try:
        entered = parse_web(text)
    except SubjectTooLong:
        return
    except BadSubject:
        with pytest.raises(BadUrl):
            svm_url.parse_url(text)
        return
    for extended in (False, True):
        asked = [known(one) for one in svm_url.parse_url(text).subjects(extended=extended)]
        assert entered.key in asked or ("?" in entered.text and not extended)
    if "://" in text:
        assert parse_any(text) == entered


def known(subject: AskedAbout) -> bytes:
    """The key under which the service looks for a question of the SVM's."""
    if subject.call is Call.URL:
        return parse_url(f"{subject.value}?{subject.query}" if subject.query else subject.value).key
    return (parse_ip if subject.call is Call.IP else parse_domain)(subject.value).key


def test_a_url_over_2000_letters_is_told_apart() -> None:
    """It is answered with another status than a bad one."""
    with pytest.raises(SubjectTooLong):
        parse_url("http://bad.example/" + "a" * 2000)


def test_a_long_url_goes_by_its_digest() -> None:
    """Its key fits LMDB, and is that of no other URL."""
    long = "http://bad.example/" + "a" * MAX_KEPT_URL_BYTES
    key = parse_url(long).key
    assert key == b"U" + hashlib.sha256(long.encode()).digest()
    assert parse_url(long + "b").key != key
    assert subject_of(key).kind == "url"


@pytest.mark.parametrize("text", ["00" * 16, "11" * 20, "AB" * 32])
def test_digests_of_three_lengths(text: str) -> None:
    """MD5, SHA-1 and SHA-256, in small letters from then on."""
    subject = parse_hash(text)
    assert (subject.kind, subject.text) == ("hash", text.lower())
    assert subject_of(subject.key) == subject


@pytest.mark.parametrize("text", ["", "00" * 15, "zz" * 32, " " + "0" * 63, "0 " * 32])
def test_what_is_no_digest_is_refused(text: str) -> None:
    """A wrong length, other letters, blanks."""
    with pytest.raises(BadSubject, match="no MD5, SHA-1 or SHA-256"):
        parse_hash(text)


def test_addresses() -> None:
    """IPv6 in its short form; IPv4 in the clothes of IPv6 is IPv4; a zone index is refused."""
    assert parse_ip("2001:0DB8:0::1").text == "2001:db8::1"
    assert parse_ip("::ffff:10.0.0.1").text == "10.0.0.1"
    for text in ("fe80::1%eth0", "10.0.0", "x"):
        with pytest.raises(BadSubject):
            parse_ip(text)


def test_names_of_hosts() -> None:
    """Small letters, no dot at the end, ASCII."""
    assert parse_domain("BÜCHER.example.").text == "xn--bcher-kva.example"
    for text in ("", "a..b", "a b", "1.2.3.4", "127.1", "a" * 254):
        with pytest.raises(BadSubject):
            parse_domain(text)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("00" * 32, "hash"),
        ("10.0.0.1", "ip"),
        ("::1", "ip"),
        ("bad.example", "domain"),
        ("http://a/x", "url"),
        ("bad.example/x", "url"),
        ("bad.example:8080", "domain"),
    ],
)
def test_a_kind_is_seen_by_its_form(text: str, kind: str) -> None:
    """An operator need not say which it is."""
    assert parse_any(text).kind == kind
    assert parse_any(subject_of(parse_any(text).key).text) == parse_any(text)


PIECES = [
    "http://",
    "https://",
    *"[]@:/?#%.-_ 1a\n\0",
    "255",
    "%4",
    "%41",
    "ü",
    "\ud800",
    "。",
    "xn--",
    "::",
    "\u200d",
]


OF_KINDS = {"hash": parse_hash, "ip": parse_ip, "domain": parse_domain, "url": parse_url}


@patient
@given(lists(sampled_from(PIECES), max_size=10).map("".join), sampled_from(["", "http://", "http://a."]))
def test_any_text_is_taken_or_refused(text: str, before: str) -> None:
    """Nothing but BadSubject; what is taken has a key that LMDB takes, and its normal form is its own."""
    for parse in (parse_any, parse_web, parse_url, parse_domain, parse_ip, parse_hash):
        try:
            subject = parse(before + text)
        except BadSubject:
            continue
        assert len(subject.key) <= 511
        assert OF_KINDS[subject.kind](subject.text) == subject
        assert subject_of(subject.key) == subject


def test_a_digest_that_lost_a_letter_is_not_taken_for_a_host() -> None:
    """A word without a dot is none of all."""
    for text in ("0" * 63, "a" * 63, "2130706433"):
        with pytest.raises(BadSubject, match="no digest, no URL"):
            parse_any(text)
