"""Tests of appliance/scanning/engines/hashtable.py."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.domain.outcome import Disposition
from appliance.scanning.engines.hashtable import ANY_SIZE, HashTable, NameHeap, name_at, pack, record
from tests.support.properties import patient

KEYS = st.tuples(st.binary(min_size=16, max_size=16), st.integers(0, 5) | st.just(ANY_SIZE))


def table(*records: bytes, digest_bytes: int = 16) -> HashTable:
    """A table of `records`."""
    packed, sizes = pack(records, digest_bytes)
    return HashTable(memoryview(packed), memoryview(sizes), digest_bytes)


@patient
@given(st.dictionaries(KEYS, st.integers(0, 1000), max_size=40), KEYS)
def test_a_table_finds_what_a_dictionary_would(
    entries: dict[tuple[bytes, int], int], absent: tuple[bytes, int]
) -> None:
    """Every entry is found by digest and size, and nothing else is."""
    packed = table(*(record(digest, size, name) for (digest, size), name in entries.items()))
    assert len(packed) == len(entries)
    for (digest, size), name in entries.items():
        asked = 3 if size == ANY_SIZE else size
        assert packed.has_size(asked)
        assert packed.find(digest, asked) in (
            name,
            entries.get((digest, asked)),
            entries.get((digest, ANY_SIZE)),
        )
    digest, size = absent
    if (digest, size) not in entries and (digest, ANY_SIZE) not in entries:
        assert packed.find(digest, size) is None


def test_a_size_that_does_not_fit_is_not_found() -> None:
    """ClamAV's entries hold for one size, unless they hold for any."""
    packed = table(record(b"a" * 16, 10, 1), record(b"b" * 16, ANY_SIZE, 2))
    assert packed.find(b"a" * 16, 11) is None
    assert packed.find(b"b" * 16, 11) == 2


def test_a_size_that_does_not_occur_needs_no_hash() -> None:
    """A table knows the sizes it holds; one entry for any size makes every file worth hashing."""
    packed = table(record(b"a" * 16, 10, 1), record(b"b" * 16, 1 << 40, 2))
    assert [packed.has_size(size) for size in (9, 10, 11, 1 << 40)] == [False, True, False, True]
    assert table(record(b"a" * 16, ANY_SIZE, 1)).has_size(0)
    assert not table().has_size(0)
    assert table().find(b"a" * 16, 0) is None


def test_one_entry_is_kept_for_each_digest_and_size() -> None:
    """Lists overlap: what several hold is packed once."""
    assert len(table(record(b"a" * 16, 1, 5), record(b"a" * 16, 1, 9), record(b"a" * 16, 2, 9))) == 2


@pytest.mark.parametrize("digest_bytes", [16, 20, 32])
def test_many_entries_are_all_found(digest_bytes: int) -> None:
    """Tables of all three kinds of digest find each of thousands."""
    digests = [hashlib.sha256(str(n).encode()).digest()[:digest_bytes] for n in range(3000)]
    packed = table(*(record(digest, n, n) for n, digest in enumerate(digests)), digest_bytes=digest_bytes)
    assert [packed.find(digest, n) for n, digest in enumerate(digests)] == list(range(3000))


def test_names_come_back_with_their_disposition() -> None:
    """Names stand in one heap; the same name in a row is kept once."""
    names = NameHeap()
    first = names.add(Disposition.MALICIOUS, b"Trojan")
    assert names.add(Disposition.MALICIOUS, b"Trojan") == first
    other = names.add(Disposition.SUSPICIOUS, b"Trojan")
    packed = memoryview(names.packed())
    assert name_at(packed, first) == (Disposition.MALICIOUS, "Trojan")
    assert name_at(packed, other) == (Disposition.SUSPICIOUS, "Trojan")
