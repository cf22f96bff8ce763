"""A backup of a real `svm serve` at work, brought back to another one."""

import asyncio
import fcntl
import os
import select
from contextlib import closing
from pathlib import Path

from lightagent.v1 import verdict_pb2

from appliance.state.environment import StateEnvironment
from tests.support import commands
from tests.support.commands import DEADLINE, Ran
from tests.support.svm import RawGuest, digest_of, until
from tests.support.svm_process import svm_process

ALLOWED, BLOCKED = verdict_pb2.OUTCOME_CLEAN, verdict_pb2.OUTCOME_MALICIOUS


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
    """And administrators' changes go through: a copy on the slowest disk there is holds nobody up."""
    with svm_process(tmp_path) as served:
        await override(tmp_path, b"known", "--allow")
        async with RawGuest.connect(served) as guest:
            with closing(StateEnvironment.open_to_read(tmp_path / "state")) as environment:
                unread, written = os.pipe()
                fcntl.fcntl(unread, fcntl.F_SETPIPE_SZ, 4096)
                copy = asyncio.get_running_loop().create_task(
                    asyncio.to_thread(_copied, environment, written)
                )
                await asyncio.to_thread(select.select, [unread], [], [], DEADLINE)
                await override(tmp_path, b"meanwhile", "--block")
                reply = await guest.ask(digest_of(b"known"), digest_of(b"meanwhile"))
                assert list(reply.outcomes) == [ALLOWED, BLOCKED]
                assert not copy.done(), "the copy was to be under way still"
                copied = await asyncio.to_thread(_all_of, unread)
                await copy
    assert len(copied) >= 3 * 4096


def _copied(environment: StateEnvironment, written: int) -> None:
    """Copy all of it into a pipe, and close that."""
    try:
        environment.copy_to(written)
    finally:
        os.close(written)


def _all_of(unread: int) -> bytes:
    """What comes out of a pipe until it is closed."""
    with open(unread, "rb") as pipe:
        return pipe.read()


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
