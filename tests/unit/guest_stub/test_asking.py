"""Tests of asking the SVM in batches."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from lightagent.v1 import guest_pb2, verdict_pb2

from guest_stub import asking
from guest_stub.asking import MAX_ASKS, Asker
from guest_stub.found import FoundFile
from guest_stub.line import Line
from guest_stub.looking import Looked, open_file
from guest_stub.outcome import Outcome
from guest_stub.svm_link.values import FileContent, LinkAnswer
from tests.support.guest_side_server import Behaviour, GuestSideServer, serving
from tests.support.held_files import Listener, until
from tests.support.stub_scans import LABELS


class Answered:
    """Keeps the answers."""

    def __init__(self) -> None:
        self.answers: dict[str, LinkAnswer] = {}
        self.at_once: set[str] = set()
        self.gone: list[str] = []

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """The outcome of each file by its name."""
        return {name: answer.outcome for name, answer in self.answers.items()}

    def answered(self, files: Sequence[Looked], answer: LinkAnswer, at_once: bool) -> None:
        """Keep; each file once."""
        names = [file.file.name for file in files]
        assert names
        assert not self.answers.keys() & names
        self.answers |= dict.fromkeys(names, answer)
        if at_once:
            self.at_once.update(names)

    def svm_gone(self, why: str) -> None:
        """Keep."""
        self.gone.append(why)


def hashed(top: Path, count: int) -> list[Looked]:
    """Files that were hashed."""
    files = []
    for number in range(count):
        data = b"content %d" % number
        (top / f"f{number}").write_bytes(data)
        found = FoundFile(b"", b"", str(top), f"f{number}", len(data))
        files.append(Looked(found, b"", b"", hashlib.sha256(data).digest(), len(data)))
    return files


def content(file: Looked) -> FileContent:
    """Where its bytes are."""
    found = file.file
    return FileContent(file.size, found.name.encode(), lambda: open_file(found.directory, found.name))


@asynccontextmanager
async def asking_of(server: GuestSideServer, answered: Answered) -> AsyncIterator[tuple[Asker, Line]]:
    """An asker of a server; ends when all has its answer."""
    async with await Line.open(server.target, LABELS, Listener()) as line, asyncio.TaskGroup() as group:
        yield Asker(line, group, answered, content), line


async def test_files_are_gathered_into_batches(tmp_path: Path) -> None:
    """Full batches go at once, the rest after a moment; each file has its answer once."""
    async with serving(tmp_path / "svm.sock") as server:
        server.behaviour.policy.max_batch = 4
        files = hashed(tmp_path, 10)
        server.known = {file.sha256: Outcome.NOT_DETECTED for file in files}
        async with asking_of(server, answered := Answered()) as (asker, _):
            for file in files:
                asker.ask([file])
            await until(lambda: len(answered.answers) == 10)
        assert [len(request.sha256) for request in server.check_requests] == [4, 4, 2]
        assert set(answered.outcomes.values()) == {Outcome.NOT_DETECTED}
        assert len(answered.at_once) == 10
        assert answered.answers["f0"].generation == 7
        assert answered.answers["f0"].valid_for == 3600


async def test_every_kind_of_answer_arrives(tmp_path: Path) -> None:
    """Plain ones, detections with their words, and those after an upload, in one batch."""
    async with serving(tmp_path / "svm.sock") as server:
        files = hashed(tmp_path, 5)
        kinds = [Outcome.NOT_DETECTED, Outcome.MALICIOUS, Outcome.CLEAN, Outcome.ENCRYPTED]
        server.known = {file.sha256: kind for file, kind in zip(files, kinds, strict=False)}
        async with asking_of(server, answered := Answered()) as (asker, _):
            asker.ask(files)
            await until(lambda: len(answered.answers) == 5)
        assert answered.outcomes == {
            "f0": Outcome.NOT_DETECTED,
            "f1": Outcome.MALICIOUS,
            "f2": Outcome.CLEAN,
            "f3": Outcome.ENCRYPTED,
            "f4": Outcome.NOT_DETECTED,
        }
        assert answered.answers["f1"].threat == "Eicar-Test-Signature"
        assert answered.at_once == {"f0", "f1", "f2", "f3"}
        assert [bytes(upload.data) for upload in server.uploads] == [b"content 4"]


def overloaded_at_first(server: GuestSideServer, times: int) -> None:
    """Have a server without room for some requests."""

    def on_check(request: guest_pb2.CheckRequest) -> list[guest_pb2.CheckReply]:
        if len(server.check_requests) > times:
            return server.sound_replies(request)
        outcomes = [verdict_pb2.OUTCOME_OVERLOADED] * len(request.sha256)
        return [guest_pb2.CheckReply(request_id=request.request_id, outcomes=outcomes)]

    server.behaviour.on_check = on_check


@pytest.mark.parametrize(("times", "outcome"), [(2, Outcome.NOT_DETECTED), (MAX_ASKS, Outcome.OVERLOADED)])
async def test_an_svm_without_room_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int, outcome: Outcome
) -> None:
    """A few times, after longer and longer pauses; then the file ends as OVERLOADED."""
    monkeypatch.setattr(asking, "_FIRST_PAUSE_SECONDS", 0.001)
    async with serving(tmp_path / "svm.sock") as server:
        overloaded_at_first(server, times)
        async with asking_of(server, answered := Answered()) as (asker, _):
            asker.ask(hashed(tmp_path, 2))
            await until(lambda: len(answered.answers) == 2)
        assert set(answered.outcomes.values()) == {outcome}


async def test_what_settles_without_room_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OVERLOADED that comes later is no end either."""
    monkeypatch.setattr(asking, "_FIRST_PAUSE_SECONDS", 0.001)

    def on_check(request: guest_pb2.CheckRequest) -> list[guest_pb2.CheckReply]:
        if len(server.check_requests) > 1:
            return server.sound_replies(request)
        pending = guest_pb2.CheckReply(
            request_id=request.request_id,
            outcomes=[verdict_pb2.OUTCOME_PENDING],
            valid_for=Duration(seconds=1),
        )
        settled = verdict_pb2.Settled(index=0, outcome=verdict_pb2.OUTCOME_OVERLOADED)
        return [pending, guest_pb2.CheckReply(request_id=request.request_id, settled=[settled])]

    async with serving(tmp_path / "svm.sock", Behaviour(on_check=on_check)) as server:
        async with asking_of(server, answered := Answered()) as (asker, _):
            asker.ask(hashed(tmp_path, 1))
            await until(lambda: len(answered.answers) == 1)
        assert answered.outcomes == {"f0": Outcome.NOT_DETECTED}


async def test_questions_outlive_a_restart_of_the_svm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was open when the SVM went away is asked of the one that comes back, in its batches."""
    monkeypatch.setattr(asking, "_FIRST_PAUSE_SECONDS", 0.001)
    files = hashed(tmp_path, 5)
    answered = Answered()
    async with serving(tmp_path / "svm.sock", Behaviour(on_check=lambda _: [])) as silent:
        line = await Line.open(silent.target, LABELS, Listener())
        group = asyncio.TaskGroup()
        await group.__aenter__()
        asker = Asker(line, group, answered, content)
        asker.ask(files)
        await until(lambda: len(silent.check_requests) == 1)
    async with serving(tmp_path / "svm.sock") as sound:
        sound.behaviour.policy.max_batch = 2
        sound.known = {file.sha256: Outcome.CLEAN for file in files}
        await group.__aexit__(None, None, None)
        assert set(answered.outcomes.values()) == {Outcome.CLEAN}
        assert [len(request.sha256) for request in sound.check_requests] == [2, 2, 1]
        async with line:
            pass
    assert answered.gone == []


async def test_an_svm_that_stays_away_ends_every_file(tmp_path: Path) -> None:
    """They end as NO_SVM, and the scan is told why."""
    answered = Answered()
    async with serving(tmp_path / "svm.sock") as server:
        line = await Line.open(server.target, LABELS, Listener())
        line.patience = 0.05
    async with line, asyncio.TaskGroup() as group:
        Asker(line, group, answered, content).ask(hashed(tmp_path, 3))
        await until(lambda: len(answered.answers) == 3)
    assert set(answered.outcomes.values()) == {Outcome.NO_SVM}
    assert "nor did it come back" in answered.gone[0]


async def test_cancel_gives_up_what_is_open(tmp_path: Path) -> None:
    """No answer comes any more, neither for what was sent nor for what was gathered."""
    async with serving(tmp_path / "svm.sock", Behaviour(on_check=lambda _: [])) as server:
        files = hashed(tmp_path, 3)
        async with asking_of(server, answered := Answered()) as (asker, _):
            asker.ask(files[:2])
            await until(lambda: len(server.check_requests) == 1)
            asker.ask(files[2:])
            asker.cancel()
        assert answered.answers == {}
