"""The program in the sandbox: `python -m appliance.scanning.worker`, its socket as descriptor 0.

It is told once what to be (worker_wire.Order), confines itself, and then either builds a bundle of
signatures or answers one job after another until the front hangs up. It imports no more than that
takes, since it is started anew for every content that breaks it.
"""

import gc
import os
import socket
import struct
import time
from collections.abc import Sequence
from itertools import zip_longest
from typing import Final

from appliance.config import UnpackLimits
from appliance.domain.content import ContentLabel
from appliance.domain.outcome import Unanswered
from appliance.domain.verdict import NoAnswer
from appliance.scanning.bundle import BundleError
from appliance.scanning.confinement import confine, no_more_threads
from appliance.scanning.engines.content import Content
from appliance.scanning.engines.engine import Engine
from appliance.scanning.inspection import inspect
from appliance.scanning.signatures import build, load_engines
from appliance.scanning.worker_wire import (
    HELLO,
    MAX_JOBS,
    MAX_JOBS_BYTES,
    MAX_ORDER_BYTES,
    MAX_REPLY_BYTES,
    JobAnswer,
    Order,
    Refused,
    Role,
    Started,
    decode_jobs,
    encode_answer,
    encode_first,
)

_LONGEST_WAIT_SECONDS: Final = 0.03  # of an answer for others to share its message


def main() -> None:
    """Do what the front orders, on the socket that is descriptor 0."""
    front = socket.socket(fileno=0)
    try:
        front.send(HELLO)
        message, descriptors = _receive(front, MAX_ORDER_BYTES)
    except (BrokenPipeError, ConnectionResetError):
        return
    if not descriptors:
        return  # the front has hung up already
    order = Order.decode(message)
    filtered = confine(order.confinement)
    try:
        engines = _start(order, descriptors[0])
    except (BundleError, OSError, MemoryError) as error:
        front.send(encode_first(Refused(str(error) or "out of memory (scanning.worker_memory_mib)")))
        return
    if filtered and order.role is Role.SCAN:
        no_more_threads()  # engines that need any have started them
    front.send(encode_first(Started(filtered)))
    if order.role is Role.SCAN:
        gc.collect()
        gc.freeze()  # the engines stay for good: no collection looks at them again
        _serve(front, engines, order.unpack)


def _start(order: Order, bundle: int) -> list[Engine]:
    """Write the bundle, or load the engines from it."""
    try:
        if order.role is Role.SCAN:
            return load_engines(bundle, order.engines)
        build(order.engines).dump(bundle)
        return []
    finally:
        os.close(bundle)


def _serve(front: socket.socket, engines: Sequence[Engine], limits: UnpackLimits) -> None:
    """Answer jobs, in their order, until the front hangs up."""
    while True:
        message, descriptors = _receive(front, MAX_JOBS_BYTES, MAX_JOBS)
        if not message:
            return
        answers = _Answers(front)
        for (number, label), fd in zip_longest(decode_jobs(message), descriptors):
            answers.add(encode_answer(_look(number, label, fd, engines, limits)))
        answers.send()


class _Answers:
    """Answers on their way to the front: those to quick jobs share a message."""

    def __init__(self, front: socket.socket) -> None:
        self._front = front
        self._waiting = b""
        self._since = time.monotonic()

    def add(self, answer: bytes) -> None:
        """Have an answer sent, soon."""
        if len(self._waiting) + len(answer) > MAX_REPLY_BYTES:
            self.send()
        self._waiting += answer
        if time.monotonic() > self._since + _LONGEST_WAIT_SECONDS:
            self.send()

    def send(self) -> None:
        """Send what waits."""
        if self._waiting:
            self._front.send(self._waiting)
            self._waiting = b""
        self._since = time.monotonic()


def _look(
    number: int, label: ContentLabel, fd: int | None, engines: Sequence[Engine], limits: UnpackLimits
) -> JobAnswer:
    """Return what the engines say of one content, and close its descriptor."""
    if fd is None:
        reason = NoAnswer(
            Unanswered.ENGINE_ERROR, "the content's descriptor was lost on its way to the worker"
        )
        return JobAnswer(number, no_answer=reason)
    content = Content.of_descriptor(fd, label)
    try:
        os.lseek(fd, 0, os.SEEK_SET)  # the offset is shared with the worker that broke on it before
        seen = inspect(engines, content, limits)
    except OSError as error:
        reason = NoAnswer(Unanswered.ENGINE_ERROR, f"the content cannot be read: {error.strerror}")
        return JobAnswer(number, no_answer=reason)
    finally:
        content.close()
        os.close(fd)
    return JobAnswer(number, seen.detections, seen.no_answer, bool(seen.damaged))


def _receive(front: socket.socket, limit: int, most: int = 1) -> tuple[bytes, list[int]]:
    """Return the next message, empty when the front has hung up, and the descriptors that came along."""
    message, ancillary, _, _ = front.recvmsg(limit, socket.CMSG_LEN(4 * most), socket.MSG_CMSG_CLOEXEC)
    if not ancillary:
        return message, []
    passed = ancillary[0][2]
    return message, list(struct.unpack(f"{len(passed) // 4}i", passed))


if __name__ == "__main__":
    main()
