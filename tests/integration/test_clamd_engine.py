"""The clamd engine against a real clamd with signatures of its own."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.domain.content import ContentLabel
from appliance.domain.outcome import Unanswered
from appliance.domain.verdict import Detection
from appliance.scanning.engines.clamd import ClamdEngine, clamd_version
from appliance.scanning.engines.content import Content
from appliance.scanning.engines.engine import EngineFailure
from tests.support import archives
from tests.support.clamd import Clamd
from tests.support.scanning import until

EVIL = b"evil content, of our own making"
FOUND = [Detection("Own.Evil.UNOFFICIAL", "clamd")]
DEADLINE = 30.0


@pytest.fixture
async def clamd(tmp_path: Path) -> AsyncIterator[Clamd]:
    """A clamd that knows EVIL."""
    async with Clamd(tmp_path, {"Own.Evil": EVIL}) as running:
        await running.start()
        yield running


def scan(clamd: Clamd, data: bytes) -> list[Detection]:
    """What clamd says of `data` in a sealed file in memory, as the SVM spools uploads."""
    fd = os.memfd_create("content", os.MFD_ALLOW_SEALING)
    try:
        os.write(fd, data)
        content = Content.of_descriptor(fd, ContentLabel(b"", len(data)))
        return ClamdEngine(clamd.socket, DEADLINE).scan(content)
    finally:
        os.close(fd)


async def test_a_signature_of_clamd_detects(clamd: Clamd) -> None:
    """clamd reads the content through the descriptor it is handed, and its name for it comes back."""
    assert scan(clamd, EVIL) == FOUND
    assert scan(clamd, b"innocent content") == []
    assert scan(clamd, b"") == []


@pytest.mark.parametrize("wrap", [archives.zipped, archives.tarred, archives.seven_zip])
async def test_clamd_unpacks_by_itself(clamd: Clamd, wrap: type) -> None:
    """A container is handed over whole, and clamd finds what stands in it."""
    assert scan(clamd, wrap({"a/evil.bin": EVIL})) == FOUND


async def test_a_large_content_is_handed_over(clamd: Clamd) -> None:
    """What stands at the end of megabytes in a tar is found."""
    assert scan(clamd, archives.tarred({"zeros": bytes(5_000_000), "evil": EVIL})) == FOUND


async def test_clamd_tells_its_version(clamd: Clamd) -> None:
    """The version is asked over the same socket."""
    assert clamd_version(clamd.socket, DEADLINE).startswith("ClamAV ")


async def test_a_restart_is_survived(clamd: Clamd) -> None:
    """While clamd is gone a scan fails with a sentence, and when it is back it works as before."""
    assert scan(clamd, EVIL) == FOUND
    await clamd.stop()
    with pytest.raises(EngineFailure, match="no clamd at"):
        scan(clamd, EVIL)
    with pytest.raises(EngineFailure, match="no clamd at"):
        clamd_version(clamd.socket, DEADLINE)
    await clamd.start()
    assert scan(clamd, EVIL) == FOUND


async def test_a_reload_is_survived_and_seen(clamd: Clamd) -> None:
    """New signatures count after clamd has read them, and no scan fails while it does."""
    later = b"something that is found out later"
    assert scan(clamd, later) == []
    clamd.learn("Own.Later", later)
    seen: list[list[Detection]] = []

    def known() -> bool:
        assert scan(clamd, EVIL) == FOUND
        seen.append(scan(clamd, later))
        return seen[-1] != []

    await until(known, "clamd has read its signatures anew")
    assert seen[-1] == [Detection("Own.Later.UNOFFICIAL", "clamd")]


async def test_a_clamd_that_is_stopped_in_its_tracks_times_out(clamd: Clamd) -> None:
    """A clamd that hangs ends the scan as timed out, and answers again when it goes on."""
    fd = os.memfd_create("content")
    os.write(fd, EVIL)
    content = Content.of_descriptor(fd, ContentLabel(b"", len(EVIL)))
    clamd.send(signal.SIGSTOP)
    try:
        with pytest.raises(EngineFailure) as caught:
            ClamdEngine(clamd.socket, 0.3).scan(content)
    finally:
        clamd.send(signal.SIGCONT)
        os.close(fd)
    assert caught.value.why is Unanswered.TIMED_OUT
    assert scan(clamd, EVIL) == FOUND
