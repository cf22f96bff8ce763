"""Several programs of one guest at one SVM over TCP, where all of them are the same guest."""

import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from appliance.identity.issuing import Asked
from guest_stub.identity.kept import pem
from guest_stub.identity.keys import make_key, request
from guest_stub.outcome import Outcome
from guest_stub.svm_link.link import SvmLink
from guest_stub.svm_link.target import Proof
from guest_stub.svm_link.target import Svm as Target
from guest_stub.svm_link.values import Batch, FileContent, HelloLabels, Program, Purpose
from tests.support.enrolled_guest import with_authority
from tests.support.identities import MACHINE, PROVIDER
from tests.support.relay import free_port
from tests.support.svm import Svm, digest_of, running_svm, until


@pytest.fixture
async def svm(tmp_path: Path) -> AsyncIterator[Svm]:
    """An SVM that listens on TCP, for which svm init was run."""
    with_authority(tmp_path)
    async with running_svm(tmp_path, listen=f"tcp:127.0.0.1:{free_port()}") as svm:
        yield svm


@pytest.fixture
async def guest(svm: Svm) -> Target:
    """The SVM as a guest that has enrolled reaches it."""
    assert svm.parts.identity is not None
    registry, key = svm.parts.identity.registry, make_key()
    token = (await registry.token("default", "", 3600, PROVIDER)).text
    given = await registry.enrol(token, Asked(request(key), MACHINE, "vm"))
    certificate, now = pem(given.certificate).encode(), time.time()
    proof = Proof(registry.authority.pem, certificate, key.encode(), now, given.ends_at)
    return Target(svm.target, lambda: proof)


async def attach(guest: Target, name: str, program: Program = Program.OTHER) -> SvmLink:
    """A program of the guest."""
    labels = HelloLabels("test", program=program, session=name * 16, machine=MACHINE)
    return await SvmLink.open(guest, labels, 30.0)


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


async def test_a_scan_leaves_the_daemon_attached(svm: Svm, guest: Target, tmp_path: Path) -> None:
    """Both ask and send content; when the scan has ended the daemon is there as before."""
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"one")
    other.write_bytes(b"other")
    async with AsyncExitStack() as stack:
        daemon = await stack.enter_async_context(await attach(guest, "d", Program.DAEMON))
        async with await attach(guest, "a") as scan:
            assert await ask(scan, one, b"one") is Outcome.NOT_DETECTED
            assert await ask(daemon, other, b"other") is Outcome.NOT_DETECTED
            assert len(svm.parts.sessions.all()) == 2
        await until(lambda: len(svm.parts.sessions.all()) == 1, "the scan's session has ended")
        assert await ask(daemon, one, b"one") is Outcome.NOT_DETECTED
        assert not daemon.lost.is_set()


async def test_a_daemon_that_starts_again_takes_the_place_of_the_one_before(svm: Svm, guest: Target) -> None:
    """Whose connection may have died without a word; a scan of the same guest goes on."""
    async with await attach(guest, "a") as scan, await attach(guest, "d", Program.DAEMON) as before:
        async with await attach(guest, "e", Program.DAEMON):
            await until(before.lost.is_set, "the one before is told")
            assert "one daemon of a guest" in before.why_lost
            assert len(svm.parts.sessions.all()) == 2
        assert not scan.lost.is_set()
