"""Tests of appliance/scanning/worker.py: the real program, spoken to over its socket."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from appliance.config import UnpackLimits
from appliance.domain.outcome import Unanswered
from appliance.scanning.bundle import read_summary
from appliance.scanning.confinement import Confinement
from appliance.scanning.signatures import build
from appliance.scanning.worker_wire import (
    HELLO,
    MAX_REPLY_BYTES,
    JobAnswer,
    Order,
    Refused,
    Role,
    Started,
    decode_answers,
    decode_first,
    encode_jobs,
)
from tests.support.contents import EICAR
from tests.support.scanning import DEADLINE, EICAR_ONLY, content, empty_bundle, worker_runtime

BOUNDS = Confinement(1 << 30, 8 << 30, 1 << 30, processes=0)


class Worker:
    """The front's end of a worker."""

    def __init__(self, front: socket.socket) -> None:
        """front: its socket."""
        self.front = front

    def order(self, role: Role, bundle: int) -> Started | Refused:
        """Give the order; its answer."""
        message = Order(role, EICAR_ONLY, UnpackLimits(), BOUNDS).encode()
        socket.send_fds(self.front, [message], [bundle])
        return decode_first(memoryview(self.front.recv(MAX_REPLY_BYTES)))

    def answer(self) -> JobAnswer:
        """The next answer to a job."""
        return next(decode_answers(memoryview(self.front.recv(MAX_REPLY_BYTES))))


@contextmanager
def worker() -> Iterator[Worker]:
    """A running worker without walls, which ends well when the front hangs up."""
    runtime = worker_runtime()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with subprocess.Popen(runtime.command, stdin=theirs.fileno(), env=runtime.environment) as process:
        theirs.close()
        with ours:
            ours.settimeout(DEADLINE)
            assert ours.recv(MAX_REPLY_BYTES) == HELLO
            yield Worker(ours)
        assert process.wait(DEADLINE) == 0


@contextmanager
def eicar_bundle() -> Iterator[int]:
    """The bundle that EICAR_ONLY builds."""
    with empty_bundle() as fd:
        build(EICAR_ONLY).dump(fd)
        yield fd


def test_it_builds_a_bundle_into_the_descriptor() -> None:
    """In the role of builder it writes, says so, and ends."""
    with worker() as builder, empty_bundle() as fd:
        assert isinstance(builder.order(Role.BUILD, fd), Started)
        assert "eicar" in {engine for engine, _, _ in read_summary(fd).parts}


def test_it_answers_one_job_after_another() -> None:
    """Detections by the number of the job; what is sent ahead waits its turn."""
    with worker() as scanner, eicar_bundle() as bundle:
        assert isinstance(scanner.order(Role.SCAN, bundle), Started)
        with content(EICAR, b"eicar.com") as (evil, label), content(b"good") as (good, other):
            socket.send_fds(scanner.front, [encode_jobs([(1, label)])], [evil])
            socket.send_fds(scanner.front, [encode_jobs([(2, other)])], [good])
            first, second = scanner.answer(), scanner.answer()
    assert (first.number, [found.threat for found in first.detections]) == (1, ["Eicar-Test-Signature"])
    assert second == JobAnswer(2)


def test_it_reads_a_content_from_its_beginning() -> None:
    """Wherever the descriptor stood when it was passed."""
    with worker() as scanner, eicar_bundle() as bundle, content(EICAR) as (fd, label):
        scanner.order(Role.SCAN, bundle)
        os.lseek(fd, 0, os.SEEK_END)
        socket.send_fds(scanner.front, [encode_jobs([(1, label)])], [fd])
        assert scanner.answer().detections


def test_a_job_without_a_descriptor_ends_unanswered() -> None:
    """ENGINE_ERROR, and the worker goes on."""
    with worker() as scanner, eicar_bundle() as bundle, content(EICAR) as (fd, label):
        scanner.order(Role.SCAN, bundle)
        scanner.front.send(encode_jobs([(1, label)]))
        lost = scanner.answer()
        assert lost.no_answer is not None
        assert lost.no_answer.why is Unanswered.ENGINE_ERROR
        socket.send_fds(scanner.front, [encode_jobs([(2, label)])], [fd])
        assert scanner.answer().detections


def test_a_descriptor_that_cannot_be_read_ends_unanswered() -> None:
    """A pipe in the place of a content is ENGINE_ERROR, and the worker goes on."""
    with worker() as scanner, eicar_bundle() as bundle, content(b"x") as (_, label):
        scanner.order(Role.SCAN, bundle)
        read, write = os.pipe()
        socket.send_fds(scanner.front, [encode_jobs([(1, label)])], [read])
        answer = scanner.answer()
        os.close(read)
        os.close(write)
    assert answer.no_answer is not None
    assert answer.no_answer.why is Unanswered.ENGINE_ERROR


def test_a_damaged_bundle_is_refused_with_a_sentence() -> None:
    """The worker says what is wrong with it and ends."""
    with worker() as scanner, empty_bundle() as fd:
        os.write(fd, b"nonsense" * 10)
        refused = scanner.order(Role.SCAN, fd)
    assert isinstance(refused, Refused)
    assert "bundle" in refused.why


def test_a_bundle_without_room_is_refused_with_a_sentence() -> None:
    """A builder that may not write so much says so."""
    with worker() as builder, empty_bundle() as fd:
        read_only = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
        refused = builder.order(Role.BUILD, read_only)
        os.close(read_only)
    assert isinstance(refused, Refused)
    assert refused.why


def test_it_ends_when_the_front_hangs_up_before_the_order() -> None:
    """It leaves without a word, as does any other worker whose front is gone."""
    with worker() as scanner:
        scanner.front.shutdown(socket.SHUT_WR)
        assert scanner.front.recv(MAX_REPLY_BYTES) == b""


def test_it_imports_neither_the_wire_to_guests_nor_an_event_loop() -> None:
    """It is started anew for every content that breaks it: what it does not need costs time."""
    runtime = worker_runtime()
    listing = "import appliance.scanning.worker, sys; print(*sys.modules)"
    command = [*runtime.command[: runtime.command.index("-m")], "-c", listing]
    done = subprocess.run(
        command, env=runtime.environment, capture_output=True, check=True, text=True, timeout=DEADLINE
    )
    assert not {"grpc", "asyncio", "lmdb", "numpy", "structlog"} & set(done.stdout.split())
