"""One worker process as the front sees it: started, spoken to, killed, and reaped.

Nothing here blocks the event loop and no thread is used: the socket and the process both are
descriptors that the loop watches. The front is the parent, so a worker dies with it.
"""

import asyncio
import contextlib
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
from appliance.scanning.worker_wire import HELLO, MAX_REPLY_BYTES, Misbehaved

MAX_LAST_WORDS_BYTES: Final = 300
_MESSAGES_PER_TURN: Final = 8  # then others have their turn on the loop
_WRAPPER_SECONDS: Final = 1.0  # bubblewrap ends at once when the worker in it has
_START_SECONDS: Final = 5.0  # from the start of bubblewrap to the worker's first line, on a busy machine
_FIRST_TO_DIE: Final = b"1000"  # oom_score_adj: a worker, before anything else on the machine
_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred: process, user, group


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
        self._buffer = memoryview(bytearray(MAX_REPLY_BYTES))
        self._open = True
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._spawn()
        self._loop.add_reader(self._process_pidfd, self._on_end)
        self._loop.add_reader(self._socket, self._on_hello)

    def _spawn(self) -> None:
        """Start the program with its two channels: the socket, and stderr."""
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            self._socket, their_socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            theirs.callback(their_socket.close)
            ours.callback(self._socket.close)
            self._words_fd, words = os.pipe()
            theirs.callback(os.close, words)
            ours.callback(os.close, self._words_fd)
            os.set_blocking(self._words_fd, False)
            os.set_blocking(words, False)  # who says much must not wait for us
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)  # see _on_hello
            sandbox = self._launch.sandbox
            # A death signal is tied to the thread that forks: this one, which lives as long as the loop.
            self._process = subprocess.Popen(
                sandbox.command(self._launch.readable),
                stdin=their_socket.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=words,
                env=sandbox.runtime.environment,
                cwd="/",
                start_new_session=True,  # Ctrl-C on a terminal is for the front alone
            )
            ours.callback(self._process.wait)
            ours.callback(self._kill_group)
            self._process_pidfd = os.pidfd_open(self._process.pid)
            ours.pop_all()

    @property
    def pid(self) -> int:
        """The process id: of bubblewrap where there is a sandbox."""
        return self._process.pid

    def send(self, message: bytes, *descriptors: int) -> bool:
        """Send a message with descriptors. False: the worker has hung up, and `lost` will be called.

        Raises OSError where a descriptor cannot be passed.
        """
        passed = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(descriptors)}i", *descriptors))
        try:
            self._socket.sendmsg((message,), (passed,))
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def kill(self) -> None:
        """End the process. It is reaped as soon as it is gone. A second call does nothing."""
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._socket)
        self._socket.close()
        os.close(self._words_fd)
        if not self._launch.sandbox.walled:
            self._kill_wrapper()
            return
        # The worker goes before bubblewrap: a bubblewrap that is killed cannot reap it, and one (0.8) that
        # is killed right after its fork leaves a child that waits for it for good.
        if self._worker_pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._worker_pidfd, signal.SIGKILL)
            self._loop.call_later(_WRAPPER_SECONDS, self._kill_wrapper)
        else:  # who has not said hello yet ends when it finds the socket closed
            self._loop.call_later(_START_SECONDS, self._kill_wrapper)

    def _kill_wrapper(self) -> None:
        if self._process.returncode is None:  # else its number may be another's by now
            self._kill_group()

    def _kill_group(self) -> None:
        """Kill a process that is not reaped yet: a bubblewrap with the child that it has just forked."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _on_hello(self) -> None:
        """Learn which process the worker is, as the kernel names the sender, and give it its order."""
        try:
            hello, ancillary, _, _ = self._socket.recvmsg(len(HELLO), socket.CMSG_SPACE(_CREDENTIALS.size))
            if hello != HELLO or not ancillary:
                self._fail("it did not say hello" if hello else self._last_words())
                return
            pid, _, _ = _CREDENTIALS.unpack(ancillary[0][2])
            self._worker_pidfd = os.pidfd_open(pid)
            with contextlib.suppress(OSError):  # a machine that lets nobody do this scans all the same
                Path(f"/proc/{pid}/oom_score_adj").write_bytes(_FIRST_TO_DIE)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
            self._loop.add_reader(self._socket, self._on_messages)
            self.send(self._launch.order, self._launch.bundle)
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
        self.ended.set_result(None)

    def _fail(self, words: str) -> None:
        if self._open:  # else it was dismissed for what stood before in the same message
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


async def all_ended(processes: Sequence[WorkerProcess], seconds: float) -> None:
    """Return when all of them are reaped, or after `seconds`."""
    if processes:
        await asyncio.wait([process.ended for process in processes], timeout=seconds)
