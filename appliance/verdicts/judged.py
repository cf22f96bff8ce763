"""What records mean to somebody who asks: each distinct one is judged once."""

from collections.abc import Callable, Iterable, Sequence

LONGEST_REMEMBERED = (
    256  # names of threats and members are for guests to choose: long records are judged again
)
MOST_NUMBERS = 1 << 16  # of records in a hot table
NOT_YET = 255


class Judged(dict[bytes | None, int]):
    """What `judge` makes of records, by their bytes, and by their numbers in a hot table.

    judge: gives 0 to 254, the same for a record each time that it is asked. none: stands for no record.
    """

    def __init__(self, judge: Callable[[bytes], int], none: int) -> None:
        super().__init__({None: none})
        self._judge = judge
        self._records: Sequence[bytes | None] = ()
        self._by_number = bytearray()

    def __missing__(self, data: bytes | None) -> int:
        """Judge a record that was not met before."""
        assert data is not None
        judgement = self._judge(data)
        if len(data) <= LONGEST_REMEMBERED:
            self[data] = judgement
        return judgement

    def by_number(self, records: Sequence[bytes | None]) -> bytearray:
        """The judgements by a record's number, NOT_YET where there is none. records: of the table, by number.

        The table may add to its records; when numbers begin anew, it is to hand over another list.
        """
        if self._records is not records:
            self._records = records
            self._by_number = bytearray([NOT_YET]) * MOST_NUMBERS
        return self._by_number

    def judge(self, numbers: Iterable[int]) -> None:
        """Judge the records of some numbers, which `by_number` then tells."""
        for number in numbers:
            self._by_number[number] = self[self._records[number]]
