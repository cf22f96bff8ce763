"""A backup of a real `svm serve` at work, brought back to another one."""

import asyncio
from pathlib import Path

from lightagent.v1 import verdict_pb2

from tests.support import commands
from tests.support.commands import Ran
from tests.support.svm import RawGuest, digest_of, until
from tests.support.svm_process import svm_process

ALLOWED, BLOCKED = verdict_pb2.OUTCOME_CLEAN, verdict_pb2.OUTCOME_MALICIOUS
_PROMPT = 0.5  # seconds of a guest's patience for what is known


async def svm(*arguments: object) -> Ran:
    """Run a command as a process of its own."""
    return await asyncio.to_thread(commands.svm_program, *arguments)


async def override(directory: Path, content: bytes, word: str) -> None:
    """Overrule a content, and see that it was acknowledged."""
    socket = directory / "admin.sock"
    ran = await svm("verdicts", "set", digest_of(content).hex(), word, "--reason", "test", "--socket", socket)
    assert ran.code == 0, ran.err


async def overridden(directory: Path) -> set[str]:
    """The digests of which an event says that they were overruled."""
    ran = await svm("events", "--kind", "override", "--json", "--socket", directory / "admin.sock")
    return {event["digest"] for event in ran.json}


async def test_what_an_svm_knows_serves_in_another_one(tmp_path: Path) -> None:
    """All that was acknowledged before the backup began is in force; what came later is not there."""
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    with svm_process(one) as served:
        await override(one, b"good", "--allow")
        await override(one, b"bad", "--block")
        while len(await overridden(one)) < 2:  # an event is written a moment later than what it tells of
            pass
        assert (await svm("backup", tmp_path / "b", "--dir", one / "state")).code == 0
        await override(one, b"later", "--block")
        assert served.process.poll() is None
    assert (await svm("restore", tmp_path / "b", "--dir", other / "state")).code == 0
    with svm_process(other) as served:
        async with RawGuest.connect(served) as guest:
            reply = await guest.ask(*map(digest_of, [b"good", b"bad", b"later"]))
        assert list(reply.outcomes) == [ALLOWED, BLOCKED, verdict_pb2.OUTCOME_CONTENT_NEEDED]
        assert await overridden(other) == {digest_of(b"good").hex(), digest_of(b"bad").hex()}


async def test_guests_are_answered_while_a_backup_is_made(tmp_path: Path) -> None:
    """And administrators' changes go through: a backup holds no lock that anybody waits for."""
    with svm_process(tmp_path) as served:
        await override(tmp_path, b"known", "--allow")
        async with RawGuest.connect(served) as guest:
            backups = [
                asyncio.get_running_loop().create_task(
                    svm("backup", tmp_path / f"b{number}", "--dir", tmp_path / "state")
                )
                for number in range(3)
            ]
            await override(tmp_path, b"meanwhile", "--block")
            answers = 0
            while not all(task.done() for task in backups):
                reply = await guest.ask(digest_of(b"known"), digest_of(b"meanwhile"), budget=_PROMPT)
                assert list(reply.outcomes) == [ALLOWED, BLOCKED]
                answers += 1
            assert [task.result().code for task in backups] == [0, 0, 0]
            assert answers > 3


async def test_nobody_restores_under_an_svm_that_serves(tmp_path: Path) -> None:
    """It is refused whatever is forced, and the SVM serves on; once it has stopped the old state is kept."""
    with svm_process(tmp_path) as served:
        await override(tmp_path, b"known", "--allow")
        assert (await svm("backup", tmp_path / "b", "--dir", tmp_path / "state")).code == 0
        refused = await svm("restore", "--force", tmp_path / "b", "--dir", tmp_path / "state")
        assert refused.code == 2
        assert "another svm uses" in refused.err
        async with RawGuest.connect(served) as guest:
            assert list((await guest.ask(digest_of(b"known"))).outcomes) == [ALLOWED]
        served.process.kill()
        await until(lambda: served.process.poll() is not None, "it has ended")
    done = await svm("restore", "--force", tmp_path / "b", "--dir", tmp_path / "state", "--json")
    assert done.json["kept"].startswith(f"{tmp_path}/state/before-restore-")
    with svm_process(tmp_path) as served:
        async with RawGuest.connect(served) as guest:
            assert list((await guest.ask(digest_of(b"known"))).outcomes) == [ALLOWED]
