"""What the host hands out, over a pseudo terminal in place of the port: its other end is a broken host."""

import json
import os
import select
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from guest_stub.identity import host_offer as module
from guest_stub.identity.host_offer import NoOffer, Offer, ask
from guest_stub.identity.port import PORT_NAME, Ports

KEY = b"k" * 32
GOOD = {
    "version": 1,
    "token": "kvmla1_x",
    "svm": "10.0.0.2:7443",
    "enrolment": "[fd00::2]:7444",
    "ca_fingerprint": "ab" * 32,
    "guest": "u",
}
OFFER = Offer("kvmla1_x", ("10.0.0.2", 7443), ("fd00::2", 7444), b"\xab" * 32)
DEADLINE = 30.0

Answers = Callable[[dict[str, Any]], bytes]


def line(asked: dict[str, Any], **change: object) -> bytes:
    """A line that answers a question."""
    return json.dumps({**GOOD, "nonce": asked["nonce"], **change}).encode() + b"\n"


class Host:
    """The other end of a port, at which questions arrive and are answered as a test has it."""

    def __init__(self, directory: Path, answers: Answers) -> None:
        self.asked: list[dict[str, Any]] = []
        self.ports = Ports(directory, directory / "none", directory / "none")
        self._answers = answers
        self._over = threading.Event()
        self._end, self._port = os.openpty()
        tty.setraw(self._port)
        (directory / PORT_NAME).symlink_to(os.ttyname(self._port))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        held = b""
        while True:
            try:
                held += os.read(self._end, 4096)
            except OSError:
                return
            *lines, held = held.split(b"\n")
            for said in filter(None, lines):
                self.asked.append(json.loads(said))
                data = self._answers(self.asked[-1])
                while data and not self._over.is_set():
                    if select.select([], [self._end], [], 0.05)[1]:
                        data = data[os.write(self._end, data[:512]) :]

    def close(self) -> None:
        """It is over."""
        self._over.set()
        os.close(self._port)
        self._thread.join(DEADLINE)
        os.close(self._end)


@contextmanager
def host(directory: Path, answers: Answers) -> Iterator[Host]:
    """One for the length of a test."""
    running = Host(directory, answers)
    try:
        yield running
    finally:
        running.close()


def test_the_host_is_asked_for_a_key(tmp_path: Path) -> None:
    """What it answers is what to enrol with."""
    with host(tmp_path, line) as running:
        assert ask(running.ports, KEY, DEADLINE) == OFFER
    (asked,) = running.asked
    assert (asked["version"], asked["key_sha256"], len(asked["nonce"])) == (1, KEY.hex(), 32)


@pytest.mark.parametrize(
    "before",
    [
        b"\n\n",
        b"garbage\n",
        b'{"nonce": 5}\n[1]\nnull\n',
        b"x" * 20_000 + b"\n",
        b"[" * 4000 + b"\n",
        json.dumps({**GOOD, "nonce": "0" * 32, "token": "of-another"}).encode() + b"\n",
    ],
)
def test_what_is_no_answer_is_passed_over(tmp_path: Path, before: bytes) -> None:
    """Also an answer to an earlier question, which still lay there."""
    with host(tmp_path, lambda asked: before + line(asked)) as running:
        assert ask(running.ports, KEY, DEADLINE) == OFFER


@pytest.mark.parametrize(
    "change",
    [
        {"token": ""},
        {"token": "x" * 129},
        {"token": None},
        {"svm": "nowhere"},
        {"svm": "h:0"},
        {"svm": "h:99999"},
        {"svm": ["h", 1]},
        {"enrolment": "h" * 400 + ":1"},
        {"ca_fingerprint": "ab"},
        {"version": "1"},
    ],
)
def test_a_damaged_answer_is_a_sentence(tmp_path: Path, change: dict[str, object]) -> None:
    """And is not asked for again at once: it would be the same."""
    with (
        host(tmp_path, lambda asked: line(asked, **change)) as running,
        pytest.raises(NoOffer, match="the host's answer is damaged"),
    ):
        ask(running.ports, KEY, DEADLINE)
    assert len(running.asked) == 1


def test_a_refusal_is_the_hosts_sentence(tmp_path: Path) -> None:
    """Where it says that it is too early, it is asked again, if there is time for that."""
    answers = iter([{"refused": "too early", "retry_seconds": 0.01}, {}])
    with host(tmp_path, lambda asked: line(asked, **next(answers))) as running:
        assert ask(running.ports, KEY, DEADLINE) == OFFER
        assert len({asked["nonce"] for asked in running.asked}) == 2
    (tmp_path / PORT_NAME).unlink()
    refused = {"refused": "x" * 3000, "retry_seconds": 1e9}
    with (
        host(tmp_path, lambda asked: line(asked, **refused)) as running,
        pytest.raises(NoOffer, match="the host refuses: x") as caught,
    ):
        ask(running.ports, KEY, DEADLINE)
    assert len(str(caught.value)) < 1000


def test_a_host_that_sends_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it is kept."""
    monkeypatch.setattr(module, "MAX_BYTES", 50_000)
    with (
        host(tmp_path, lambda _asked: b"y" * 200_000) as running,
        pytest.raises(NoOffer, match="sends much, and none of it is an answer"),
    ):
        ask(running.ports, KEY, 0.5)


def test_a_host_that_is_silent_is_waited_for_as_long_as_it_was_told(tmp_path: Path) -> None:
    """And the sentence says what to look for."""
    with (
        host(tmp_path, lambda _asked: b"") as running,
        pytest.raises(NoOffer, match="the host does not answer: is svm-host serve running there"),
    ):
        ask(running.ports, KEY, 0.3)


def test_a_machine_without_the_port_says_so(tmp_path: Path) -> None:
    """It may be plugged while one waits."""
    ports = Ports(tmp_path, tmp_path / "none", tmp_path / "none")
    with pytest.raises(NoOffer, match=f"this machine has no port {PORT_NAME}: have its host plug it"):
        ask(ports, KEY, 0.01)
    made: list[Host] = []
    timer = threading.Timer(0.3, lambda: made.append(Host(tmp_path, line)))
    timer.start()
    try:
        assert ask(ports, KEY, DEADLINE) == OFFER
    finally:
        timer.join(DEADLINE)
        made[0].close()


def test_a_port_that_cannot_be_opened_is_a_sentence(tmp_path: Path) -> None:
    """Whatever it is instead."""
    (tmp_path / PORT_NAME).mkdir()
    begun = time.monotonic()
    with pytest.raises(NoOffer, match="Is a directory"):
        ask(Ports(tmp_path, tmp_path, tmp_path), KEY, 0.1)
    assert time.monotonic() - begun < DEADLINE
