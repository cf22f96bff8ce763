"""One batch of digests on its way: the first outcomes at once, the others as they settle. No I/O."""

from collections.abc import AsyncIterator

from guest_stub.svm_link.values import LinkAnswer


class Question:
    """The SVM's reply to one batch; each index ends exactly once, here or in `settled()`.

    outcomes: one number for each digest, in the batch's order, as a plain list: a wire outcome that
        is known here (never 0), or NO_SVM or TIMED_OUT. Those in outcome.OPEN are still open and end in
        `settled()`; all others are ends. The list stays as it was at the first reply.
    generation, valid_for: of the first reply; hold for each verdict in `outcomes` (seconds).
    open: how many indexes have not ended yet.
    """

    outcomes: list[int]
    generation: int
    valid_for: float
    open: int

    @property
    def told(self) -> frozenset[int]:
        """Indexes of `outcomes` beside which more is said than the outcome: ask answer() for those."""

    def answer(self, index: int) -> LinkAnswer:
        """The end of an index that was not open in the first reply, with what was said beside it."""

    def settled(self) -> AsyncIterator[tuple[int, LinkAnswer]]:
        """(index, answer) of each index that was open, once, as each ends; stops when none is open.

        Ends by itself within the batch's budget and 5 s, whatever the SVM does. Uploads that the SVM asks for go
        on meanwhile, whether or not somebody iterates; a file that is not what was hashed any more
        ends as CHANGED, one that cannot be read as UNREADABLE. For one reader.
        """
