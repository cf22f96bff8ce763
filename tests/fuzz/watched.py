"""A real SVM that is watched while hostile guests talk to it, with a well-behaved guest beside them."""

import asyncio
import gc
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import structlog
from lightagent.v1 import verdict_pb2

from appliance.config_limits import Limits
from appliance.console.logs import _is_of_one_who_went
from tests.fuzz.hostile import Story
from tests.fuzz.steps import PROTECTION
from tests.support.archives import zipped
from tests.support.contents import EICAR
from tests.support.svm import DEADLINE, RawGuest, Svm, digest_of, running_svm, until

BUDGET_SECONDS = 20.0  # of the well-behaved guest's questions: an answer that is late says so
# Small, so that stories reach the bounds, and short, so that they come to their ends.
LIMITS = Limits(
    max_file_mib=1,
    spool_mib=4,
    guest_spool_mib=2,
    max_batch=64,
    open_checks=4,
    open_digests=32,
    scan_streams=2,
    upload_stall_seconds=0.3,
    lease_seconds=0.5,
    budget_seconds=BUDGET_SECONDS,
    heartbeat_seconds=600,
    events_per_second=500,
)
# The words of guest.proto. UNIMPLEMENTED and NOT_FOUND are for methods and services that are not there.
DOCUMENTED = {
    grpc.StatusCode.OK,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.ABORTED,
}
NOT_THERE = {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.NOT_FOUND}
# grpc.aio on the client's side loses the status of a call that ends while its first message is written.
LOST = (grpc.StatusCode.INTERNAL, "Internal error from Core")


class Errors(logging.Handler):
    """Keeps lines of level error, of asyncio and gRPC among them."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record, but for gRPC's word that a client has gone."""
        if not _is_of_one_who_went(record):
            self.lines.append(f"{record.name}: {self.format(record)}")


@dataclass(frozen=True)
class Held:
    """What the SVM, this whole process, holds."""

    tasks: int
    descriptors: int
    memory_files: int

    @classmethod
    def now(cls) -> "Held":
        """Count it."""
        names = []
        for fd in os.listdir("/proc/self/fd"):
            try:
                names.append(os.readlink(f"/proc/self/fd/{fd}"))
            except FileNotFoundError:
                continue
        return cls(len(asyncio.all_tasks()), len(names), sum("memfd:content" in name for name in names))

    def within(self, other: "Held") -> bool:
        """Whether it is no more than something else."""
        return (
            self.tasks <= other.tasks
            and self.descriptors <= other.descriptors
            and self.memory_files <= other.memory_files
        )


class WatchedSvm:
    """The SVM and the guest beside; each story is played and then looked after."""

    def __init__(self, svm: Svm, guest: RawGuest, errors: Errors, lines: Sequence[Any]) -> None:
        """errors, lines: of the standard library's log, and of structlog's."""
        self._svm, self._guest = svm, guest
        self._errors, self._lines = errors, lines
        self._stories = 0
        self._before = Held(0, 0, 0)

    async def settle(self) -> None:
        """Learn what the SVM holds when nobody but the guest beside is there."""
        await self._asks()
        gc.collect()
        self._before = Held.now()

    async def play(self, steps: Sequence[Any]) -> None:
        """Play a story. Raises AssertionError where the SVM does anything but what it promises."""
        self._stories += 1
        for path, status, sentence in await self._ends_of(steps):
            assert status in self._allowed(path) or (status, sentence) == LOST, (
                f"{path} ended as {status}: {sentence}"
            )
        await self._asks()
        gc.collect()  # what this side holds of its calls keeps their connections open
        await self._nothing_is_left()
        assert not self._errors.lines, self._errors.lines
        bad = [line for line in self._lines if line["log_level"] in ("error", "critical", "exception")]
        assert not bad, bad

    def _story(self, salt: bytes) -> Story:
        """One that is to be played. salt: what no other has."""
        return Story(self._svm.target, salt)

    def _allowed(self, path: str) -> set[grpc.StatusCode]:
        """How a call may end."""
        if path == f"{PROTECTION}Nothing":
            return NOT_THERE
        return DOCUMENTED if path.startswith(PROTECTION) else DOCUMENTED | NOT_THERE

    async def _ends_of(self, steps: Sequence[Any]) -> list[tuple[str, grpc.StatusCode, str]]:
        """Have the story played, and all of its guests gone; how their calls ended."""
        story = self._story(b"story %d " % self._stories)
        try:
            ends = await story.play(steps)
            await self._asks()
        finally:
            await story.end()
        return ends

    async def _asks(self) -> None:
        """The guest beside asks and uploads as ever, and each answer is right and in time."""
        number = b"%d %d" % (self._stories, self._guest.requests)
        for content, expected in (
            (b"harmless, of the guest beside " + number, verdict_pb2.OUTCOME_NOT_DETECTED),
            (zipped({f"{number.decode()}.com": EICAR}), verdict_pb2.OUTCOME_MALICIOUS),
        ):
            reply = await self._guest.ask(digest_of(content), budget=BUDGET_SECONDS)
            assert list(reply.outcomes) == [verdict_pb2.OUTCOME_CONTENT_NEEDED], reply
            settled = await self._guest.send(reply.details[0].lease, content)
            assert settled.outcome == expected, settled
            again = await self._guest.ask(digest_of(content))
            assert list(again.outcomes) == [expected], again

    async def _nothing_is_left(self) -> None:
        """Sessions, flights, spool, slots, tasks and descriptors are as before."""
        parts = self._svm.parts

        def left() -> dict[str, object]:
            return {
                "sessions": len(parts.sessions.all()) - 1,
                "attaching": len(parts.sessions.greeting),
                "flights": parts.protection.flights.flights,
                "questions": parts.protection.flights.waiting,
                "spool": parts.spool.used_bytes,
                "uploads that wait": parts.spool.waiting,
                "queue": parts.scanner.figures()["queued"] + parts.scanner.figures()["busy"],
            }

        def is_clean() -> bool:
            return not any(left().values())

        try:
            await until(is_clean, "all of the hostile guests' is gone")
            await until(lambda: Held.now().within(self._before), "no task and no descriptor is left over")
        except AssertionError as error:
            held = f"{left()}, {Held.now()} instead of {self._before}"
            raise AssertionError(f"{error}: {held}; {sorted(map(str, asyncio.all_tasks()))}") from None


@asynccontextmanager
async def on_its_socket(directory: Path, errors: Errors, lines: Sequence[Any]) -> AsyncIterator[WatchedSvm]:
    """One whose guests come by its socket."""
    async with running_svm(directory, LIMITS) as svm, RawGuest.connect(svm) as guest:
        yield WatchedSvm(svm, guest, errors, lines)


Making = Callable[[Path, Errors, Sequence[Any]], AbstractAsyncContextManager[WatchedSvm]]


@contextmanager
def watched_svm(directory: Path, making: Making = on_its_socket) -> Iterator[Callable[[Sequence[Any]], None]]:
    """An SVM in this process, and what plays a story to it."""
    errors = Errors()
    logging.getLogger().addHandler(errors)
    try:
        with structlog.testing.capture_logs() as lines, asyncio.Runner(debug=True) as runner:
            ready: asyncio.Future[WatchedSvm] = runner.get_loop().create_future()
            over = asyncio.Event()

            async def live() -> None:
                async with making(directory, errors, lines) as watched:
                    ready.set_result(watched)
                    await over.wait()

            life = runner.get_loop().create_task(live())

            async def come_up() -> WatchedSvm:
                both: set[asyncio.Future[Any]] = {life, ready}
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED, timeout=DEADLINE)
                if life.done():
                    await life
                watched = await ready
                await watched.settle()
                return watched

            async def end() -> None:
                over.set()
                await life

            watched = runner.run(come_up())
            try:
                yield lambda steps: runner.run(watched.play(steps))
            finally:
                runner.run(end())
    finally:
        logging.getLogger().removeHandler(errors)
