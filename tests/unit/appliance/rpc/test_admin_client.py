"""The client of the Administration service: every failure becomes a sentence."""

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import grpc
import pytest
from lightagent.v1 import admin_pb2, events_pb2

from appliance.domain.override import Override
from appliance.rpc.admin_client import AdminClient, AdminError
from tests.support.admin_side_server import DEADLINE, AdminSide, admin_side
from tests.support.ksn_side_server import ksn_side
from tests.support.svm import running_svm

DIGEST = b"d" * 32
NOBODY = 65534


@pytest.fixture
def side(tmp_path: Path) -> Iterator[AdminSide]:
    """A running administration side."""
    with admin_side(tmp_path) as running:
        yield running


@contextmanager
def companion(path: Path, answer: Callable[[socket.socket], None]) -> Iterator[None]:
    """A companion socket that answers the first caller in a way of its own."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(DEADLINE)
        listener.bind(f"{path}.id")
        listener.listen()
        done = threading.Event()

        def serve() -> None:
            with listener.accept()[0] as connection:
                answer(connection)
                done.wait(DEADLINE)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join(DEADLINE)


@contextmanager
def without_rights(directory: Path) -> Iterator[None]:
    """Be somebody who may not enter the directory; root becomes nobody for the moment."""
    directory.chmod(0o700 if os.geteuid() == 0 else 0)
    previous = os.geteuid()
    if previous == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(previous)
        directory.chmod(0o700)


def failure(path: Path, seconds: float = DEADLINE) -> str:
    """What a client says that cannot ask for the status."""
    with pytest.raises(AdminError) as caught, AdminClient(str(path), seconds) as client:
        client.status()
    return str(caught.value)


def test_several_calls_share_a_connection(side: AdminSide) -> None:
    """Ask, set, clear, within one `with`."""
    with AdminClient(str(side.path)) as client:
        assert client.status().version == "1.2.3"
        assert not client.verdict(DIGEST).known
        request = admin_pb2.SetOverrideRequest(sha256=DIGEST, allow=True, reason="why")
        assert client.set_override(request).author.startswith(f"uid-{os.getuid()}.")
        assert client.clear(DIGEST, "")
        assert not client.clear(DIGEST, "")
        assert len(client.audit(5).entries) == 0
        assert client.signatures().generation == 0xAB
        assert client.reload().generation == 0xAC
    assert [entry[0] for entry in side.control.cleared] == [DIGEST, DIGEST]


def test_a_relative_path_is_taken_from_the_current_directory(
    side: AdminSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--socket admin.sock works where the socket is."""
    monkeypatch.chdir(side.path.parent)
    with AdminClient("admin.sock") as client:
        assert client.status().version == "1.2.3"


def test_no_socket_at_all(tmp_path: Path) -> None:
    """Nobody ever served there."""
    path = tmp_path / "admin.sock"
    assert failure(path).startswith(f"no SVM answers on {path}: is `svm serve` running?")


def test_a_socket_that_was_left_behind(tmp_path: Path) -> None:
    """The SVM was killed; its socket is still there."""
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{path}.id")
    assert failure(path).startswith(f"no SVM answers on {path}: is `svm serve` running?")


def test_no_right_to_the_socket(side: AdminSide) -> None:
    """The sentence says as whom to run."""
    with without_rights(side.path.parent):
        sentence = failure(side.path)
    assert sentence == f"no right to use {side.path}: run this as the user that runs the SVM, or as root"


def test_a_path_that_no_socket_can_have(tmp_path: Path) -> None:
    """Too long for the kernel's address."""
    path = tmp_path / ("a" * 200)
    assert failure(path).endswith("give the SVM's --socket")


def test_an_svm_that_does_not_answer(tmp_path: Path) -> None:
    """It accepts and says nothing: the deadline ends it."""
    path = tmp_path / "admin.sock"
    with companion(path, lambda connection: None):
        assert failure(path, 0.1) == f"the SVM on {path} does not answer: see its log, or restart it"


@pytest.mark.parametrize("line", [b"", b"0123", b"0" * 40])
def test_an_svm_that_gives_no_ticket(tmp_path: Path, line: bytes) -> None:
    """It has too many callers, or is no SVM."""
    path = tmp_path / "admin.sock"

    def answer(connection: socket.socket) -> None:
        connection.sendall(line)
        connection.shutdown(socket.SHUT_RDWR)

    with companion(path, answer):
        assert failure(path).startswith(f"the SVM on {path} admits nobody now")


def test_a_ticket_without_a_service(tmp_path: Path) -> None:
    """The companion answers, the service is gone: the SVM is stopping."""
    path = tmp_path / "admin.sock"
    with companion(path, lambda connection: connection.sendall(b"0" * 32 + b"\n")):
        why = "went away, is stopping, or has no room for more: see its log, ask again"
        assert failure(path) == f"the SVM on {path} {why}"


def test_an_svm_of_another_version(tmp_path: Path) -> None:
    """A server that does not know the method is too old."""
    path = tmp_path / "admin.sock"
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_insecure_port(f"unix:{path}")
    server.start()
    with companion(path, lambda connection: connection.sendall(b"0" * 32 + b"\n")):
        sentence = failure(path)
    server.stop(None).wait(DEADLINE)
    assert sentence.endswith("Else it is older than this svm: update it")


async def test_the_door_of_guests(tmp_path: Path) -> None:
    """Whoever asks there is asked whether it is that."""
    async with running_svm(tmp_path) as svm:
        path = Path(svm.target.removeprefix("unix:"))
        said = await asyncio.to_thread(failure, path)
    assert said.startswith(f"the SVM on {path} does not know this command: is that where administrators ask")


def test_a_call_that_takes_too_long(side: AdminSide) -> None:
    """The deadline of the call ends it."""
    side.control.during_reload = side.hang
    with (
        pytest.raises(AdminError, match=r"did not answer within 0\.2 s"),
        AdminClient(str(side.path), reload_seconds=0.2) as client,
    ):
        client.reload()


def test_an_svm_that_goes_away_during_a_call(side: AdminSide) -> None:
    """Whether it was done is not known; the sentence says where to look."""
    side.control.during_reload = side.vanish
    with pytest.raises(AdminError, match="went away"), AdminClient(str(side.path)) as client:
        client.reload()


def test_a_line_that_was_closed_is_a_sentence(side: AdminSide) -> None:
    """As where one thread closes what another one asks on."""
    with AdminClient(str(side.path)) as closed:
        pass
    with pytest.raises(AdminError, match="was closed meanwhile"):
        closed.status()
    with pytest.raises(AdminError, match="was closed meanwhile"):
        list(closed.events(events_pb2.ListEventsRequest()))


def test_what_the_svm_refuses_is_told_in_its_words(side: AdminSide) -> None:
    """Its sentence alone, without status codes."""
    side.control.refusal = "the disk is full: make room"
    side.control.overrides[DIGEST] = Override(True, "why", "who", 5)
    with pytest.raises(AdminError) as caught, AdminClient(str(side.path)) as client:
        client.clear(DIGEST, "")
    assert str(caught.value) == "the disk is full: make room"


def test_whom_the_svm_does_not_know_is_told_so_in_its_words(side: AdminSide) -> None:
    """A ticket of another SVM."""
    with AdminClient(str(side.path)) as client:
        client._metadata = (("ticket", "0" * 32),)
        with pytest.raises(AdminError, match=r"^no ticket that counts"):
            client.status()


def test_what_asks_ksn_is_waited_for_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that hangs ends in a sentence too, after a time of its own."""
    with ksn_side(tmp_path) as side:

        async def hanging(*_: object) -> NoReturn:
            await side.hang()
            raise AssertionError

        monkeypatch.setattr(side.ksn, "check_ksn", hanging)
        monkeypatch.setattr(side.ksn, "look_up", hanging)
        with AdminClient(str(side.path), network_seconds=0.05) as client:
            for call in (lambda: client.check_ksn("acme"), lambda: client.look_up("acme", DIGEST)):
                with pytest.raises(AdminError, match=r"did not answer within 0\.05 s"):
                    call()
