"""Tests of how fast a guest takes what its SVM says."""

import pytest
from lightagent.v1.guest_pb2 import AttachReply, GenerationChange, Revocation, ScanTask

from guest_stub.svm_link.pace import MOST_AT_ONCE, PER_SECOND, Pace

CHANGE = AttachReply(generation=GenerationChange(generation=1))
REVOKED = AttachReply(revocation=Revocation(sha256=[bytes(32)] * 1024))
ORDER = AttachReply(scan_task=ScanTask(scan=bytes(16)))


def test_what_a_sound_svm_says_at_once_is_taken_at_once() -> None:
    """200,000 revoked digests as a guest attaches."""
    pace = Pace(lambda: 0.0)
    assert {pace.pause(REVOKED) for _ in range(200)} == {0.0}


@pytest.mark.parametrize(("reply", "seconds"), [(CHANGE, 1 / 64), (REVOKED, 17 / 64), (ORDER, 16 / 64)])
def test_what_is_said_too_fast_waits(reply: AttachReply, seconds: float) -> None:
    """Each message as long as it costs: digests and orders cost more."""
    now = [0.0]
    pace = Pace(lambda: now[0])
    while not (pause := pace.pause(reply)):
        pass
    now[0] += pause
    assert pace.pause(reply) == pytest.approx(seconds)


def test_what_was_spent_comes_back() -> None:
    """But never more than there was."""
    now = [0.0]
    pace = Pace(lambda: now[0])
    for _ in range(int(MOST_AT_ONCE)):
        assert pace.pause(CHANGE) == 0.0
    assert pace.pause(CHANGE) > 0
    now[0] = 10 * MOST_AT_ONCE / PER_SECOND
    assert [pace.pause(CHANGE) for _ in range(int(MOST_AT_ONCE))][-1] == 0.0
    assert pace.pause(CHANGE) > 0
