"""Tests of appliance/scanning/budget.py."""

import pytest

from appliance.config import UnpackLimits
from appliance.scanning.budget import (
    ENTRIES_PER_MEMBER,
    HEADER_BYTES,
    MIB,
    RATIO_COUNTS_FROM_BYTES,
    Budget,
    TooLarge,
)

LIMITS = UnpackLimits(max_depth=2, max_members=3, max_ratio=10, max_total_mib=64, max_member_mib=32)


def test_the_depth_is_bounded() -> None:
    """Containers may stand as deep in each other as the limit says, and no deeper."""
    budget = Budget(LIMITS, 100)
    budget.descend(2)
    with pytest.raises(TooLarge, match=r"more than 2 deep \(unpack.max_depth\)"):
        budget.descend(3)


def test_the_number_of_members_is_bounded_over_all_containers() -> None:
    """The members of nested containers count together."""
    budget = Budget(LIMITS, 100)
    for _ in range(3):
        budget.add_member()
    with pytest.raises(TooLarge, match=r"more than 3 members \(unpack.max_members\)"):
        budget.add_member()


def test_one_member_is_bounded() -> None:
    """A member over the limit ends it, also when only its claimed size says so."""
    with pytest.raises(TooLarge, match=r"over 32 MiB \(unpack.max_member_mib\)"):
        Budget(LIMITS, 100 * MIB).add_bytes(0, 32 * MIB + 1)


def test_all_members_together_are_bounded() -> None:
    """The total counts over all members, each of them small."""
    budget = Budget(LIMITS, 100 * MIB)
    budget.add_bytes(32 * MIB, 32 * MIB)
    budget.add_bytes(32 * MIB, 32 * MIB)
    with pytest.raises(TooLarge, match=r"more than 64 MiB \(unpack.max_total_mib\)"):
        budget.add_bytes(1, 1)


def test_the_ratio_is_bounded() -> None:
    """A file may unpack to so many times its own size."""
    size = 2 * MIB
    budget = Budget(LIMITS, size)
    budget.add_bytes(20 * MIB, 1)
    with pytest.raises(TooLarge, match=r"2097152 bytes unpack to more than 20971520 \(unpack.max_ratio\)"):
        budget.add_bytes(1, 1)


def test_the_ratio_leaves_small_files_alone() -> None:
    """A small file of zeros packs a thousandfold and is no bomb."""
    Budget(LIMITS, 100).add_bytes(RATIO_COUNTS_FROM_BYTES, 1)
    with pytest.raises(TooLarge, match="max_ratio"):
        Budget(LIMITS, 100).add_bytes(RATIO_COUNTS_FROM_BYTES + 1, 1)


def test_what_a_compressor_packed_is_bounded_with_all_that_pads_it() -> None:
    """Bytes that belong to no member count too; each member may have a header beside its bytes."""
    budget = Budget(LIMITS, 2 * MIB)
    budget.add_member()
    budget.add_stream(20 * MIB + HEADER_BYTES)
    with pytest.raises(TooLarge, match=r"2097152 bytes unpack to more than 20971520 \(unpack.max_ratio\)"):
        budget.add_stream(1)


def test_what_directories_name_is_bounded() -> None:
    """A few times as often as there may be members, whichever of a file's zips names it."""
    budget = Budget(UnpackLimits(max_members=5), 100)
    for _ in range(5 * ENTRIES_PER_MEMBER):
        budget.add_entry()
    with pytest.raises(TooLarge, match="max_members"):
        budget.add_entry()
