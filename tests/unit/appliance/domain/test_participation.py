"""How KSN is used on behalf of a tenant."""

from enum import IntEnum
from typing import Any

import pytest
from lightagent.v1 import verdict_pb2

from appliance.domain.participation import KsnState, Participation, Reason


@pytest.mark.parametrize(
    ("ours", "wire", "prefix"),
    [
        (KsnState, verdict_pb2.KsnState.DESCRIPTOR, "KSN_STATE_"),
        (Reason, verdict_pb2.KsnReason.DESCRIPTOR, "KSN_REASON_"),
    ],
)
def test_states_and_reasons_have_the_numbers_of_the_wire(ours: type[IntEnum], wire: Any, prefix: str) -> None:
    """Each name and number of verdict.proto, but for the one that is never sent, and no other."""
    named = {value.name.removeprefix(prefix): value.number for value in wire.values if value.number}
    assert {member.name: int(member) for member in ours} == named


def test_nothing_is_claimed_of_who_does_not_take_part() -> None:
    """Without more said, no type, mode or Statement is in force for a tenant."""
    off = Participation(KsnState.OFF)
    assert (off.type, off.mode, off.reasons, off.accepted) == (None, None, (), 0)
