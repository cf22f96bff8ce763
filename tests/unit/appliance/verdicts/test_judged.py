"""Records, judged once."""

from appliance.verdicts.judged import LONGEST_REMEMBERED, NOT_YET, Judged

RECORDS = [None, b"good", b"bad", b"good"]


class Judge:
    """Judges by the first letter, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def __call__(self, record: bytes) -> int:
        """Four for good, one for bad."""
        self.asked.append(record)
        return {ord("g"): 4, ord("b"): 1}[record[0]]


def test_equal_records_are_judged_once() -> None:
    """However often they are asked for, and whichever way; no record is not judged at all."""
    judge = Judge()
    judged = Judged(judge, 7)
    assert [judged[record] for record in RECORDS] == [7, 4, 1, 4]
    by_number = judged.by_number(RECORDS)
    judged.judge([0, 1, 2, 3])
    assert list(by_number[:5]) == [7, 4, 1, 4, NOT_YET]
    assert judge.asked == [b"good", b"bad"]


def test_numbers_of_another_list_are_not_mixed_up() -> None:
    """When a table's numbers begin anew, no old judgement stands under a new number."""
    judged = Judged(Judge(), 7)
    for records, judgement in (([None, b"good"], 4), ([None, b"bad"], 1)):
        assert judged.by_number(records)[1] == NOT_YET
        judged.judge([1])
        assert judged.by_number(records)[1] == judgement


def test_long_records_are_not_remembered() -> None:
    """They are judged all the same, each time: guests choose what stands in them."""
    judge = Judge()
    judged = Judged(judge, 7)
    long = b"g" * (LONGEST_REMEMBERED + 1)
    assert [judged[long], judged[long]] == [4, 4]
    assert len(judge.asked) == 2
    assert len(judged) == 1
