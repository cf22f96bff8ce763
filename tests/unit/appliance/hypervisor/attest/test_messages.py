"""What is said on a machine's channel."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.hypervisor.attest.messages import Ask, BadAsk, Offer, Refusal, answer, parse

NONCE, KEY = "0f" * 16, "ab" * 32
SOUND = {"version": 1, "nonce": NONCE, "key_sha256": KEY}
ASK = Ask(NONCE, bytes.fromhex(KEY))


def test_a_machine_asks_for_a_key() -> None:
    """Also one of a later version, which may say more."""
    assert parse(json.dumps(SOUND).encode()) == ASK
    assert parse(json.dumps({**SOUND, "version": 7, "colour": "red"}).encode()) == ASK


@pytest.mark.parametrize(
    "change",
    [
        {"version": 0},
        {"version": True},
        {"version": "1"},
        {"nonce": NONCE[1:]},
        {"nonce": NONCE.upper()},
        {"nonce": 5},
        {"key_sha256": KEY + "00"},
        {"key_sha256": None},
        {"more": "x" * 500},
    ],
)
def test_what_breaks_a_rule_asks_for_nothing(change: dict[str, object]) -> None:
    """Nobody guesses what was meant."""
    with pytest.raises(BadAsk):
        parse(json.dumps({**SOUND, **change}).encode())


@given(st.one_of(st.binary(max_size=600), st.text(max_size=300).map(str.encode), st.just(b"[" * 512)))
def test_whatever_a_machine_says_is_an_ask_or_none(line: bytes) -> None:
    """And nothing else happens."""
    with suppress(BadAsk):
        parse(line)


def test_an_answer_is_one_line_with_the_nonce() -> None:
    """Of all that the machine needs, or why it gets nothing."""
    offer = Offer("kvmla1_x", "6ba7b810", "10.0.0.2:7443", "10.0.0.2:7444", b"\1" * 32)
    line = answer(ASK, offer)
    assert line.count(b"\n") == 1
    assert json.loads(line) == {
        "version": 1,
        "nonce": NONCE,
        "token": "kvmla1_x",
        "svm": "10.0.0.2:7443",
        "enrolment": "10.0.0.2:7444",
        "ca_fingerprint": "01" * 32,
        "guest": "6ba7b810",
    }
    refused = json.loads(answer(ASK, Refusal("not now", 30)))
    assert refused == {"version": 1, "nonce": NONCE, "refused": "not now", "retry_seconds": 30}
