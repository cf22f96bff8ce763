"""Several programs of one guest at one SVM over TCP, where all of them are the same guest."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.control import Parts
from guest_stub.identity.machine import machine
from guest_stub.outcome import Outcome
from guest_stub.svm_link.link import SvmLink
from guest_stub.svm_link.target import Target
from guest_stub.svm_link.values import Batch, FileContent, HelloLabels, Program, Purpose
from tests.support.enrolled import enrolled
from tests.support.relay import free_port
from tests.support.svm import digest_of, running_svm, until


@dataclass(frozen=True)
class Site:
    """An SVM, and how the guest reaches it."""

    parts: Parts
    target: Target


@pytest.fixture
async def svm(tmp_path: Path) -> AsyncIterator[Site]:
    """An SVM that listens on TCP, and a guest that has enrolled."""
    address = f"tcp:127.0.0.1:{free_port()}"
    target = enrolled(tmp_path / "state", tmp_path / "stub", address)
    async with running_svm(tmp_path, listen=address) as running:
        yield Site(running.parts, target)


async def attach(svm: Site, name: str, program: Program = Program.OTHER) -> SvmLink:
    """A program of the guest."""
    labels = HelloLabels("test", program=program, session=name * 16, machine=machine())
    return await SvmLink.open(svm.target, labels, 30.0)


async def ask(link: SvmLink, path: Path, content: bytes) -> Outcome:
    """What the SVM says of the file, which it may have the content of."""
    batch = Batch(
        [digest_of(content)],
        Purpose.ON_DEMAND,
        30.0,
        lambda _: FileContent(len(content), b"", lambda: os.open(path, os.O_RDONLY)),
    )
    question = await link.check(batch)
    async for ended in question.settled():
        return ended[0][1].outcome
    return Outcome(question.outcomes[0])


async def test_a_scan_leaves_the_daemon_attached(svm: Site, tmp_path: Path) -> None:
    """Both ask and send content; when the scan has ended the daemon is there as before."""
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"one")
    other.write_bytes(b"other")
    async with AsyncExitStack() as stack:
        daemon = await stack.enter_async_context(await attach(svm, "d", Program.DAEMON))
        async with await attach(svm, "a") as scan:
            assert await ask(scan, one, b"one") is Outcome.NOT_DETECTED
            assert await ask(daemon, other, b"other") is Outcome.NOT_DETECTED
            assert len(svm.parts.sessions.all()) == 2
        await until(lambda: len(svm.parts.sessions.all()) == 1, "the scan's session has ended")
        assert await ask(daemon, one, b"one") is Outcome.NOT_DETECTED
        assert not daemon.lost.is_set()


async def test_a_daemon_that_starts_again_takes_the_place_of_the_one_before(svm: Site) -> None:
    """Whose connection may have died without a word; a scan of the same guest goes on."""
    async with await attach(svm, "a") as scan, await attach(svm, "d", Program.DAEMON) as before:
        async with await attach(svm, "e", Program.DAEMON):
            await until(before.lost.is_set, "the one before is told")
            assert "one daemon of a guest" in before.why_lost
            assert len(svm.parts.sessions.all()) == 2
        assert not scan.lost.is_set()
