"""The stub's line to one SVM: channel, Attach, heartbeat, and what happens when the SVM goes away."""

import asyncio
from types import TracebackType

from guest_stub.svm_link.question import Question
from guest_stub.svm_link.values import Batch, HelloLabels, LinkListener, LinkPolicy


class SvmUnreachable(Exception):
    """No SVM answers at the target, or it refuses this stub; the message says which and what to do."""


class SvmLink:
    """An attached SVM. Serves one event loop; every method is called on it.

    policy, generation: as the SVM said last. lost: set once the SVM is gone, with the reason in
    why_lost; the link never reconnects, its owner opens a new one.

    >>> link = await SvmLink.open("unix:/run/kvm-light-agent/svm.sock", labels, 10.0, listener)
    >>> question = await link.check(Batch(digests, Purpose.ON_DEMAND, 60.0, content))
    >>> for digest, outcome in zip(digests, question.outcomes): ...
    >>> async for index, answer in question.settled(): ...
    >>> await link.close()
    """

    policy: LinkPolicy
    generation: int
    lost: asyncio.Event
    why_lost: str

    @classmethod
    async def open(
        cls, target: str, labels: HelloLabels, timeout: float, listener: LinkListener | None = None
    ) -> "SvmLink":
        """Connect, attach and wait for policy and generation, all within `timeout` seconds.

        target: "unix:/path/of/socket" or "tcp:host:port". Raises SvmUnreachable.
        """

    async def check(self, batch: Batch) -> Question:
        """Ask about a batch; returns with the SVM's first reply to it, and sends content that it needs.

        Any number of calls may be under way at once: they share one stream, and wait for their turn
        when the SVM's limit of open questions is reached. Never raises for anything the SVM does:
        an SVM that is gone, or does not answer within the budget, gives NO_SVM or TIMED_OUT outcomes.
        Raises ValueError for an empty or too large batch.
        """

    async def close(self) -> None:
        """End all streams; what is open ends as NO_SVM. Waits at most 2 s for the SVM. Idempotent."""

    async def __aenter__(self) -> "SvmLink":
        """Nothing to do: open() has connected."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the link."""
        await self.close()
