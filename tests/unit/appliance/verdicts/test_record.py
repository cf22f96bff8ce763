"""A verdict as bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.domain.outcome import Disposition, Source
from appliance.domain.verdict import Verdict
from appliance.verdicts.record import HOUR, MAX_MEMBER_BYTES, DamagedRecord, decode, encode

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
hours = st.integers(0, 2**32 - 1).map(lambda hour: hour * HOUR)
verdicts = st.builds(
    Verdict,
    disposition=st.sampled_from(Disposition),
    source=st.sampled_from(Source),
    generation=st.integers(0, 2**64 - 1),
    stored_at=hours,
    expires_at=hours,
    threat=text,
    engine=text,
    member=st.text(st.characters(exclude_categories=["Cs"]), max_size=MAX_MEMBER_BYTES // 4),
    category=text,
)


@given(verdicts)
def test_what_is_written_is_read(verdict: Verdict) -> None:
    """Every verdict comes back as it was, when its times are whole hours."""
    assert decode(encode(verdict)) == verdict


@given(verdicts, st.data())
def test_a_changed_byte_is_noticed(verdict: Verdict, data: st.DataObject) -> None:
    """No record with a flipped bit is taken for a verdict."""
    record = bytearray(encode(verdict))
    place = data.draw(st.integers(0, len(record) - 1))
    record[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DamagedRecord):
        decode(bytes(record))


@given(st.binary(max_size=100))
def test_any_other_bytes_are_damaged(data: bytes) -> None:
    """Bytes that were never a record raise DamagedRecord and nothing else."""
    with pytest.raises(DamagedRecord):
        decode(data)


def test_texts_are_cut_to_their_bound() -> None:
    """A name of any length can be stored; what is over the bound is lost, of a path its beginning."""
    verdict = Verdict(Disposition.MALICIOUS, Source.ENGINE, 1, 0, threat="é" * 500, member="éx" * 5000)
    read = decode(encode(verdict))
    assert read.threat == "é" * 127
    assert read.member == "..." + "x" + "éx" * 41


def test_alike_verdicts_are_the_same_bytes() -> None:
    """Times count to the hour, so that verdicts of one hour share one record; expiry rounds up."""
    one = Verdict(Disposition.NOT_DETECTED, Source.ENGINE, 7, 10 * HOUR + 1, 20 * HOUR + 1)
    other = Verdict(Disposition.NOT_DETECTED, Source.ENGINE, 7, 10 * HOUR + 99, 20 * HOUR + 2)
    assert encode(one) == encode(other)
    assert decode(encode(one)).expires_at == 21 * HOUR
