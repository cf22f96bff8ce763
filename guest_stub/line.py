"""The line to the SVM for the length of a scan: opened again when the SVM restarts meanwhile."""

import asyncio

from guest_stub.svm_link.link import SvmLink, SvmUnreachable
from guest_stub.svm_link.target import Target
from guest_stub.svm_link.values import HelloLabels, LinkListener

OPEN_SECONDS = 10.0
PATIENCE_SECONDS = 30.0  # for an SVM that went away; a restart takes seconds
_PAUSES = (0.1, 0.3, 1.0, 2.0)  # seconds between attempts, the last one again and again


class Line:
    """One link after the other to the same SVM. Serves one event loop.

    >>> async with await Line.open("unix:/run/kvm-light-agent/svm.sock", labels, listener) as line:
    ...     link = await line.link()
    """

    def __init__(self, target: Target, labels: HelloLabels, listener: LinkListener, first: SvmLink) -> None:
        """For open(), which every caller uses."""
        self._target = target
        self._labels = labels
        self._listener = listener
        self._link = first
        self._gone = ""
        self._lock = asyncio.Lock()
        self.patience = PATIENCE_SECONDS

    @classmethod
    async def open(cls, target: Target, labels: HelloLabels, listener: LinkListener) -> "Line":
        """Connect for the first time; raises SvmUnreachable at once where no SVM answers."""
        return cls(target, labels, listener, await SvmLink.open(target, labels, OPEN_SECONDS, listener))

    @property
    def current(self) -> SvmLink:
        """The link in use, which may just be lost; its policy and generation still hold. For any thread."""
        return self._link

    async def link(self) -> SvmLink:
        """A link that was not lost so far. Raises SvmUnreachable once the patience has run out."""
        async with self._lock:
            if self._gone:
                raise SvmUnreachable(self._gone)
            if self._link.lost.is_set():
                await self._open_again()
            return self._link

    async def _open_again(self) -> None:
        loop = asyncio.get_running_loop()
        why, attempts, give_up_at = self._link.why_lost, 0, loop.time() + self.patience
        await self._link.close()
        while True:
            try:
                left = max(0.1, give_up_at - loop.time())
                self._link = await SvmLink.open(
                    self._target, self._labels, min(OPEN_SECONDS, left), self._listener
                )
                return
            except SvmUnreachable as problem:
                pause = _PAUSES[min(attempts, len(_PAUSES) - 1)]
                if loop.time() + pause >= give_up_at:
                    self._gone = f"{why}; nor did it come back within {self.patience:g} s: {problem}"
                    raise SvmUnreachable(self._gone) from problem
                await asyncio.sleep(pause)
                attempts += 1

    async def __aenter__(self) -> "Line":
        """Nothing to do: open() has connected."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the link in use."""
        await self._link.close()
