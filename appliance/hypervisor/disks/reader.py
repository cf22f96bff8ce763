"""The program `disk-reader` behind its walls: started, asked, ended; and what it says, held to its form.

It reads what guests have written, so whatever it says may be made up: each message is checked, a silence has
an end, and its end is a sentence. Questions are answered in their order; the next files are asked for before
those at hand are dealt with, so that it reads on meanwhile.
"""

import asyncio
import os
import signal
import subprocess
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from appliance.disk_reader import protocol
from appliance.hypervisor.disks.comparing import Comparison
from appliance.hypervisor.disks.said import (
    Batch,
    VolumeSeen,
    batch_of,
    is_more,
    unknown_changes_of,
    volumes_of,
)
from appliance.scanning.runtime import RuntimeIncomplete, runtime_of
from appliance.scanning.sandbox import Sandbox, SandboxUnavailable
from appliance.version import program_version

SILENT_SECONDS: Final = 120.0  # that it may say nothing: one step of its own may take 20
_END_SECONDS: Final = 5.0
_MESSAGES: Final = 2  # of one answer that wait to be taken
_WORDS_BYTES: Final = 4096  # of its complaints
_LIBRARIES: Final = (
    "dissect.hypervisor",
    "dissect.volume",
    "dissect.extfs",
    "dissect.xfs",
    "dissect.btrfs",
    "dissect.ntfs",
    "dissect.fat",
    "dissect.util",
    "dissect.cstruct",
)

Message = tuple[dict[str, Any], bytes]


Taken = TypeVar("Taken")


class _Slot:
    """Where the answer to one question comes, in one message or more; what nobody wants is dropped."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[Message | None] = asyncio.Queue(_MESSAGES)
        self._dropped = False

    async def put(self, message: Message) -> None:
        """Hand on a message, once there is room."""
        if not self._dropped:
            await self._messages.put(message)

    async def take(self) -> Message | None:
        """The next message, None where none comes any more."""
        return await self._messages.get()

    def end(self) -> None:
        """No message comes any more."""
        if self._messages.full():
            self._messages.get_nowait()
        self._messages.put_nowait(None)

    def drop(self) -> None:
        """Nobody takes what comes."""
        self._dropped = True
        while not self._messages.empty():
            self._messages.get_nowait()


class CannotRead(Exception):
    """There is no program that could read disks here. The message says what to install."""


class ReaderEnded(Exception):
    """The program ended, said nothing for too long, or said what cannot be. The message says which."""


class AnswerFailed(Exception):
    """It answers a question with why there is no answer."""


def find_sandbox() -> Sandbox:
    """What it is started with. Raises CannotRead."""
    try:
        return Sandbox.find("bubblewrap", runtime_of("appliance.disk_reader", _LIBRARIES, {}, "disks"))
    except (RuntimeIncomplete, SandboxUnavailable) as error:
        raise CannotRead(str(error).partition(", or set")[0]) from error


def reader_version() -> str:
    """What reads disks, with its libraries: another one may see other files in the same places."""
    return " ".join(program_version(each) for each in ("kvm-light-agent", *_LIBRARIES))


class DiskReader:
    """One run of the program, for the length of an `async with`."""

    def __init__(self, sandbox: Sandbox, fds: Sequence[int]) -> None:
        """fds: all that it may read."""
        self._sandbox = sandbox
        self._fds = fds
        self._slots: deque[_Slot] = deque()
        self._why = ""
        self._ahead: _Slot | None = None
        self._file_bytes = 0
        self.busy_bytes = 0  # read of files that are not told yet
        self.unknown_changes: list[str] = []  # for each disk, why all of it is read

    async def __aenter__(self) -> Self:
        """Start it. Raises CannotRead."""
        starting = asyncio.get_running_loop().create_task(self._started())
        try:
            self._process = await asyncio.shield(starting)
        except asyncio.CancelledError:  # what is half started is started, and ended then
            self._ending = asyncio.get_running_loop().create_task(_given_up(starting))
            await asyncio.shield(self._ending)  # however often this is cancelled
            raise
        assert self._process.stderr is not None
        loop = asyncio.get_running_loop()
        self._complaints = loop.create_task(_tail(self._process.stderr))
        self._pump = loop.create_task(self._take())
        return self

    async def _started(self) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *self._sandbox.command([]),
                env=self._sandbox.runtime.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=self._fds,
                limit=1 << 20,
                start_new_session=True,  # see _kill; and Ctrl-C on a terminal is for svm-host
            )
        except OSError as error:
            raise CannotRead(f"disk-reader cannot be started: {error.strerror or error}") from error

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self._pump.cancel()
        await asyncio.gather(self._pump, return_exceptions=True)
        await _ended(self._process, self._complaints)

    async def open(
        self,
        disks: Sequence[Sequence[dict[str, Any]]],
        files: int,
        file_bytes: int,
        comparison: Comparison | None = None,
    ) -> list[VolumeSeen]:
        """Which volumes the disks have. files, file_bytes: how much is read of one. Raises ReaderEnded."""
        self._file_bytes = file_bytes
        ask = {"ask": "open", "disks": disks, "files": files, "file_bytes": file_bytes}
        ask |= comparison.told() if comparison is not None else {}
        message = await self._answer(self._ask(ask))
        self.unknown_changes = self._checked(lambda head, _: unknown_changes_of(head, len(disks)), message)
        return self._checked(volumes_of, message)

    async def walk(self, volume: int) -> None:
        """Begin with a volume. Raises AnswerFailed where its file system is damaged, and ReaderEnded."""
        await self._answer(self._ask({"ask": "walk", "volume": volume}))
        self._ahead = self._ask({"ask": "next"})

    async def batch(self) -> Batch:
        """The next files of the volume. Raises AnswerFailed and ReaderEnded."""
        assert self._ahead is not None
        slot, self._ahead = self._ahead, None
        of_this = partial(batch_of, file_bytes=self._file_bytes)
        batch = self._checked(of_this, await self._answer(slot))
        if not batch.is_last:
            self._ahead = self._ask({"ask": "next"})
        return batch

    async def content(self, file: int) -> AsyncGenerator[bytes]:
        """The bytes of a file that was told. Raises AnswerFailed and ReaderEnded."""
        slot = self._ask({"ask": "content", "file": file})
        more = True
        try:
            while more:
                message = await self._answer(slot)
                more = bool(self._checked(is_more, message))
                yield message[1]
        finally:
            slot.drop()

    # -- questions and answers

    def _ask(self, head: dict[str, Any]) -> _Slot:
        """Ask something; where its answer comes. What was asked last is of little length: it has room."""
        slot = _Slot()
        if self._why:
            slot.end()
            return slot
        self._slots.append(slot)
        assert self._process.stdin is not None
        words = protocol.packed(head)
        with suppress(OSError):
            self._process.stdin.write(words)
        return slot

    async def _answer(self, slot: _Slot) -> Message:
        message = await slot.take()
        if message is None:
            raise ReaderEnded(self._why)
        if message[0].get("say") == "failed":
            raise AnswerFailed(self._checked(lambda head, _: protocol.sentence(head.get("why")), message))
        return message

    def _checked(self, take: Callable[[dict[str, Any], bytes], Taken], message: Message) -> Taken:
        try:
            return take(*message)
        except protocol.Garbled as error:
            self._why = f"the program that reads it said what cannot be ({error})"
            raise ReaderEnded(self._why) from error

    async def _take(self) -> None:
        """Hand each message to who asked for it, until the program ends."""
        try:
            await self._hand_on()
        except (TimeoutError, protocol.Garbled, ConnectionError, OSError) as error:
            if isinstance(error, TimeoutError):
                why = f"the program that reads it said nothing for {SILENT_SECONDS:g} s"
            else:
                why = f"the program that reads it said what cannot be ({error})"
            self._end(why)
        except protocol.Ended:
            self._end(await self._why_ended())

    def _end(self, why: str) -> None:
        self._why = self._why or why
        _kill(self._process)
        for slot in self._slots:
            slot.end()

    async def _hand_on(self) -> None:
        inbox, output = protocol.Inbox(), self._process.stdout
        assert output is not None
        while True:
            while (message := inbox.take()) is None:
                inbox.feed(await self._heard(output))
            head = message[0]
            if head.get("say") == "busy":
                self.busy_bytes += protocol.natural(head.get("bytes"))
                continue
            if not self._slots:
                raise protocol.Garbled("an answer to nothing")
            await self._slots[0].put(message)
            if head.get("more") is not True:
                self._slots.popleft()

    async def _heard(self, output: asyncio.StreamReader) -> bytes:
        """What it says next. Raises TimeoutError where that is nothing for too long, and Ended."""
        while True:
            was_asked = bool(self._slots)
            try:
                async with asyncio.timeout(SILENT_SECONDS):
                    data = await output.read(1 << 18)
            except TimeoutError:
                if was_asked:
                    raise
                continue  # with nothing asked it has nothing to say; by now it may have been asked
            if not data:
                raise protocol.Ended
            return data

    async def _why_ended(self) -> str:
        code = await self._process.wait()
        words = (await self._complaints).decode("utf-8", "replace").strip().splitlines()
        last = f": {protocol.sentence(words[-1])}" if words else ""
        how = f"by signal {-code}" if code < 0 else f"with {code}"
        return f"the program that reads it ended {how}{last}"


async def _tail(stream: asyncio.StreamReader) -> bytes:
    """The end of what is said on a stream."""
    kept = b""
    while data := await stream.read(1 << 16):
        kept = (kept + data)[-_WORDS_BYTES:]
    return kept


def _kill(process: asyncio.subprocess.Process) -> None:
    """Kill a process that is not reaped yet, with what it has started and not let go of.

    A bubblewrap that is killed alone right after its fork leaves a child that waits for it for good, with
    every descriptor open. That child is of its process group until it waits no more.
    """
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


async def _given_up(starting: asyncio.Task[asyncio.subprocess.Process]) -> None:
    with suppress(CannotRead):
        await _ended(await starting)


async def _ended(process: asyncio.subprocess.Process, complaints: Awaitable[bytes] | None = None) -> None:
    """End a process. What it has started itself, if that is left, sees that nobody asks any more.

    complaints: what reads its stderr already. Both pipes are read to their ends: they close with that.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.close()
    _kill(process)
    with suppress(TimeoutError):
        async with asyncio.timeout(_END_SECONDS):
            await process.wait()
            await _tail(process.stdout)
            await (complaints or _tail(process.stderr))
