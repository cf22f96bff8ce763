"""What can be asked about, and how it is spelt alike."""

import hashlib

import pytest
from hypothesis import given
from hypothesis.strategies import lists, sampled_from

from appliance.private_ksn.subjects import (
    MAX_KEPT_URL_BYTES,
    BadSubject,
    SubjectTooLong,
    parse_any,
    parse_domain,
    parse_hash,
    parse_ip,
    parse_url,
    subject_of,
)
from tests.support.properties import patient


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("HTTP://Bad.Example:80/A", "http://bad.example/A"),
        ("https://bad.example:443/", "https://bad.example/"),
        ("https://bad.example:8443/", "https://bad.example:8443/"),
        ("http://user:secret@bad.example/x#part", "http://bad.example/x"),
        ("http://bad.example./x", "http://bad.example/x"),
        ("http://b%41d.example/%7euser/%2f?q=%zz", "http://bad.example/~user/%2F?q=%25zz"),
        ("http://bad.example/%4%41", "http://bad.example/%254A"),
        ("http://bücher.example/ü", "http://xn--bcher-kva.example/%C3%BC"),
        ("http://[2001:DB8::1]:80/x", "http://[2001:db8::1]/x"),
        ("http://10.0.0.1/x", "http://10.0.0.1/x"),
        ("http://under_score.example/x", "http://under_score.example/x"),
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
        "http:///x",
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
    for text in ("", "a..b", "-a.example", "a b", "1.2.3.4", "a" * 254):
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
    ],
)
def test_a_kind_is_seen_by_its_form(text: str, kind: str) -> None:
    """An operator need not say which it is."""
    assert parse_any(text).kind == kind
    assert subject_of(parse_any(text).key).text == text


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


@patient
@given(lists(sampled_from(PIECES), max_size=10).map("".join), sampled_from(["", "http://", "http://a."]))
def test_any_text_is_taken_or_refused(text: str, before: str) -> None:
    """Nothing but BadSubject; what is taken has a key that LMDB takes, and its normal form is its own."""
    for parse in (parse_any, parse_url, parse_domain, parse_ip, parse_hash):
        try:
            subject = parse(before + text)
        except BadSubject:
            continue
        assert len(subject.key) <= 511
        assert parse(subject.text) == subject
        assert subject_of(subject.key) == subject


def test_a_digest_that_lost_a_letter_is_not_taken_for_a_host() -> None:
    """A word without a dot is none of all."""
    with pytest.raises(BadSubject, match="no digest, no URL"):
        parse_any("0" * 63)
