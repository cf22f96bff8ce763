"""The program in the sandbox: `python -m appliance.scanning.worker`, its socket as descriptor 0.

It is told once what to be (worker_wire.Order), confines itself, and then either builds a bundle of
signatures or answers one job after another until the front hangs up. It imports no more than that
takes, since it is started anew for every content that breaks it.
"""

import gc
import os
import socket
import struct
from collections.abc import Sequence
from typing import Final

from appliance.config import UnpackLimits
from appliance.domain.content import ContentLabel
from appliance.domain.outcome import Unanswered
from appliance.domain.verdict import NoAnswer
from appliance.scanning.bundle import BundleError
from appliance.scanning.confinement import confine
from appliance.scanning.engines.content import Content
from appliance.scanning.engines.engine import Engine
from appliance.scanning.inspection import inspect
from appliance.scanning.signatures import build, load_engines
from appliance.scanning.worker_wire import (
    HELLO,
    MAX_JOB_BYTES,
    MAX_ORDER_BYTES,
    JobAnswer,
    Order,
    Refused,
    Role,
    Started,
    decode_job,
    encode_answer,
    encode_first,
)

_ONE_DESCRIPTOR: Final = socket.CMSG_LEN(4)


def main() -> None:
    """Do what the front orders, on the socket that is descriptor 0."""
    front = socket.socket(fileno=0)
    try:
        front.send(HELLO)
        message, bundle = _receive(front, MAX_ORDER_BYTES)
    except (BrokenPipeError, ConnectionResetError):
        return
    if bundle is None:
        return  # the front has hung up already
    order = Order.decode(message)
    filtered = confine(order.confinement)
    try:
        engines = _start(order, bundle)
    except (BundleError, OSError, MemoryError) as error:
        front.send(encode_first(Refused(str(error) or "out of memory (scanning.worker_memory_mib)")))
        return
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
        message, fd = _receive(front, MAX_JOB_BYTES)
        if not message:
            return
        number, label = decode_job(message)
        front.send(encode_answer(_look(number, label, fd, engines, limits)))


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


def _receive(front: socket.socket, limit: int) -> tuple[bytes, int | None]:
    """Return the next message, empty when the front has hung up, and its descriptor if one came along."""
    message, ancillary, _, _ = front.recvmsg(limit, _ONE_DESCRIPTOR, socket.MSG_CMSG_CLOEXEC)
    if not ancillary:
        return message, None
    return message, struct.unpack("i", ancillary[0][2])[0]


if __name__ == "__main__":
    main()
