"""Records as they lie on a disk that somebody wrote to: sound checksums over bodies of no sense."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import xxhash
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.domain.event import Event, EventKind, Said
from appliance.domain.outcome import Disposition, Source
from appliance.domain.verdict import Verdict
from appliance.private_ksn import records as feed
from appliance.private_ksn.reputation import Zone
from appliance.state import event_record
from appliance.state.environment import StateDamaged, packed, unpacked
from appliance.verdicts import record
from tests.fuzz.mutation import mutated
from tests.support.properties import fuzzing

VERDICTS = [
    Verdict(Disposition.MALICIOUS, Source.ENGINE, 7, 3600, 7200, "Eicar-Test-Signature", "eicar", "a/b"),
    Verdict(Disposition.NOT_DETECTED, Source.ENGINE, (1 << 64) - 1, 0, 0, "", "", "", ""),
    Verdict(Disposition.CLEAN, Source.KSN, 0, 1 << 31, 1 << 32, "", "", "", "Browser"),
]
EVENTS = [
    Event(1.5, EventKind.DETECTION, "uid-0.pid-1", bytes(32), "Evil", "a sentence", count=3),
    Event(2.0, EventKind.NOTE, "ip-::1", said=Said(9, 1.0, b"/bin/\xff", "sh", "blocked"), guests=("a", "b")),
]


def resealed(body: bytes) -> bytes:
    """The body with a checksum that fits."""
    return body + xxhash.xxh3_64_digest(body)


@fuzzing
@given(mutated(st.sampled_from([record.encode(verdict)[:-8] for verdict in VERDICTS])))
def test_a_verdict_under_a_sound_checksum_is_one_or_damaged(body: bytes) -> None:
    """DamagedRecord and nothing else; what is a verdict can be kept again."""
    with suppress(record.DamagedRecord):
        verdict = record.decode(resealed(body))
        assert record.decode(record.encode(verdict)).disposition is verdict.disposition


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def event_documents(draw: Callable[[st.SearchStrategy[object]], object]) -> bytes:
    """An event's JSON, one of whose fields is something else."""
    written = json.loads(event_record.encode(draw(st.sampled_from(EVENTS)))[:-8])  # type: ignore[arg-type]
    where = written["said"] if "said" in written and draw(st.booleans()) else written
    name = draw(st.sampled_from([*where, "threat", "another", "said", "guests"]))
    where[name] = draw(DOCUMENTS)
    return json.dumps(written).encode()


@fuzzing
@given(event_documents() | mutated(st.sampled_from([event_record.encode(event)[:-8] for event in EVENTS])))
@example(b"[" * 100_000)  # RecursionError came out of it
@example(b'{"kind": "note", "said": []}')  # AttributeError
def test_an_event_under_a_sound_checksum_is_one_or_damaged(body: bytes) -> None:
    """DamagedEvent and nothing else."""
    with suppress(event_record.DamagedEvent):
        event_record.decode(resealed(body))


@fuzzing
@given(
    DOCUMENTS.map(lambda document: json.dumps(document).encode())
    | mutated(st.just(packed({"scope": 3, "active": True, "decided": {"global": 1}})[:-8]))
)
@example(b"[" * 100_000)  # RecursionError
@example(b"[]")  # was taken for a table of fields
def test_a_record_of_the_state_under_a_sound_checksum_is_a_table_or_damaged(body: bytes) -> None:
    """Policies, consent, overrides and the rest: StateDamaged, which names the file, and nothing else."""
    with suppress(StateDamaged):
        assert isinstance(unpacked(resealed(body), Path("state.lmdb")), dict)


@pytest.mark.parametrize("key", [bytes(33), b"\x01" + bytes(16)])
@fuzzing
@given(
    mutated(
        st.sampled_from(
            [feed.encode_record(bytes(33), Zone.RED, 1, 5), feed.encode_alias(bytes(33), bytes(32))]
        )
    )
)
def test_a_record_of_a_feed_is_one_or_none(key: bytes, value: bytes) -> None:
    """With and without a checksum that fits."""
    for data in (value, value[:-4] + xxhash.xxh32_digest(key + value[:-4])[::-1]):
        feed.decode_record(key, data)
        feed.decode_alias(key, data)
