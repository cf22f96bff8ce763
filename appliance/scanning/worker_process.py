"""One worker process as the front sees it: started, spoken to, killed, and reaped.

Nothing here blocks the event loop and no thread is used: the socket and the process both are
descriptors that the loop watches. The front is the parent, so a worker dies with it.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.scanning.labels import printable, shortened
from appliance.scanning.sandbox import Sandbox
from appliance.scanning.worker_wire import MAX_REPLY_BYTES, Misbehaved

MAX_LAST_WORDS_BYTES: Final = 300
_MESSAGES_PER_TURN: Final = 8  # then others have their turn on the loop
_WRAPPER_SECONDS: Final = 1.0  # bubblewrap ends at once when the worker in it has
_FIRST_TO_DIE: Final = b"1000"  # oom_score_adj: a worker, before anything else on the machine
_DESCRIPTOR: Final = struct.Struct("i")


@dataclass(frozen=True, slots=True)
class Launch:
    """What a worker is started with.

    readable: directories it may read besides its runtime. order: its first message (worker_wire).
    bundle: the descriptor that goes with the order; it stays the caller's.
    """

    sandbox: Sandbox
    readable: tuple[Path, ...]
    order: bytes
    bundle: int


class WorkerProcess:
    """A worker process, from its start until it is reaped.

    heard: called with each message, which is valid during the call only; may raise Misbehaved, which
    ends the worker. lost: called once, with the last words, when it has ended or misbehaved by
    itself; never after `kill`. Both are called on the event loop.
    """

    def __init__(
        self, launch: Launch, heard: Callable[[memoryview], None], lost: Callable[[str], None]
    ) -> None:
        """Start the process. Raises OSError where the machine cannot."""
        self._loop = asyncio.get_running_loop()
        self._launch = launch
        self._heard = heard
        self._lost = lost
        self._worker_pidfd = -1  # the worker itself, inside of its sandbox
        self._info = b""
        self._buffer = memoryview(bytearray(MAX_REPLY_BYTES))
        self._open = True
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._spawn()
        self._loop.add_reader(self._process_pidfd, self._on_end)
        if launch.sandbox.walled:
            self._loop.add_reader(self._info_fd, self._on_info)
        else:
            self._loop.call_soon(self._on_worker, self._process.pid)

    def _spawn(self) -> None:
        """Start the program with its three channels: the socket, what bubblewrap says, and stderr."""
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            self._socket, their_socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            theirs.callback(their_socket.close)
            ours.callback(self._socket.close)
            self._info_fd, info = _pipe(theirs, ours)
            self._words_fd, words = _pipe(theirs, ours)
            os.set_blocking(words, False)  # of the worker: who says much must not wait for us
            self._socket.setblocking(False)
            sandbox = self._launch.sandbox
            # A death signal is tied to the thread that forks: this one, which lives as long as the loop.
            self._process = subprocess.Popen(
                sandbox.command(self._launch.readable, info),
                stdin=their_socket.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=words,
                env=sandbox.runtime.environment,
                cwd="/",
                pass_fds=(info,) if sandbox.walled else (),
                start_new_session=True,  # Ctrl-C on a terminal is for the front alone
            )
            ours.callback(self._process.wait)
            ours.callback(self._process.kill)
            self._process_pidfd = os.pidfd_open(self._process.pid)
            ours.pop_all()

    @property
    def pid(self) -> int:
        """The process id: of bubblewrap where there is a sandbox."""
        return self._process.pid

    def send(self, message: bytes, fd: int) -> bool:
        """Send a message with a descriptor. False: the worker has hung up, and `lost` will be called.

        Raises OSError where the descriptor cannot be passed.
        """
        passed = (socket.SOL_SOCKET, socket.SCM_RIGHTS, _DESCRIPTOR.pack(fd))
        try:
            self._socket.sendmsg((message,), (passed,))
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def kill(self) -> None:
        """End the process. It is reaped as soon as it is gone. A second call does nothing."""
        if not self._open:
            return
        self._close_channels()
        if self._worker_pidfd >= 0:
            # The worker first: were bubblewrap killed before it, nobody of ours would reap the worker.
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._worker_pidfd, signal.SIGKILL)
            self._loop.call_later(_WRAPPER_SECONDS, self._kill_wrapper)
        else:
            self._kill_wrapper()

    def _kill_wrapper(self) -> None:
        if not self.ended.done():
            self._process.kill()

    def _on_info(self) -> None:
        """Gather what bubblewrap says of the process it made; then that one can be spoken to."""
        piece = os.read(self._info_fd, 4096)
        self._info += piece
        if piece:
            return
        self._loop.remove_reader(self._info_fd)
        # Nothing, where bubblewrap failed: it ends by itself then.
        with contextlib.suppress(ValueError, KeyError):
            self._on_worker(json.loads(self._info)["child-pid"])

    def _on_worker(self, pid: int) -> None:
        """Give the worker its order."""
        if not self._open:
            return
        with contextlib.suppress(OSError):  # a machine that lets nobody do this scans all the same
            Path(f"/proc/{pid}/oom_score_adj").write_bytes(_FIRST_TO_DIE)
        try:
            self._worker_pidfd = os.pidfd_open(pid)
            self._loop.add_reader(self._socket, self._on_messages)
            self.send(self._launch.order, self._launch.bundle)
        except ProcessLookupError:
            pass  # it has ended already, which the loop is about to tell
        except OSError as error:
            self._fail(f"it cannot be told what to do: {error.strerror}")

    def _on_messages(self) -> bool:
        """Hear what has come, so much in one turn; whether there may be more."""
        try:
            for _ in range(_MESSAGES_PER_TURN):
                size = self._socket.recv_into(self._buffer)
                if size == 0:
                    self._fail(self._last_words())
                    return False
                self._heard(self._buffer[:size])
                if not self._open:
                    return False
        except BlockingIOError:
            return False
        except Misbehaved as error:
            self._fail(str(error))
            return False
        except OSError:
            self._fail(self._last_words())
            return False
        return True

    def _on_end(self) -> None:
        """Reap the process; what it said before it ended is heard first."""
        if self._process.poll() is None:
            return
        self._loop.remove_reader(self._process_pidfd)
        os.close(self._process_pidfd)
        while self._worker_pidfd >= 0 and self._open and self._on_messages():
            pass
        if self._open:
            self._fail(self._last_words())
        if self._worker_pidfd >= 0:
            os.close(self._worker_pidfd)
            self._worker_pidfd = -1
        if not self.ended.done():
            self.ended.set_result(None)

    def _fail(self, words: str) -> None:
        self.kill()
        self._lost(words)

    def _last_words(self) -> str:
        """The last line that it wrote to stderr, made printable, or how it ended."""
        with contextlib.suppress(OSError):
            lines = os.read(self._words_fd, 1 << 16).splitlines()
            said = [line for line in lines if line.strip()]
            if said:
                return shortened(printable(said[-1][:4096]), MAX_LAST_WORDS_BYTES)
        return "it ended without a word"

    def _close_channels(self) -> None:
        self._open = False
        self._loop.remove_reader(self._socket)
        self._loop.remove_reader(self._info_fd)
        self._socket.close()
        os.close(self._info_fd)
        os.close(self._words_fd)


def _pipe(theirs: contextlib.ExitStack, ours: contextlib.ExitStack) -> tuple[int, int]:
    """Return a pipe: our end, which never blocks, and theirs."""
    read, write = os.pipe()
    ours.callback(os.close, read)
    theirs.callback(os.close, write)
    os.set_blocking(read, False)
    return read, write


async def all_ended(processes: Sequence[WorkerProcess], seconds: float) -> None:
    """Return when all of them are reaped, or after `seconds`."""
    if processes:
        await asyncio.wait([process.ended for process in processes], timeout=seconds)
