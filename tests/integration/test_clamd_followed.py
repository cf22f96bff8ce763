"""A real clamd beside the SVM, which comes, goes and changes as it likes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from appliance.config import ClamdSettings, ScanningSettings
from appliance.domain.outcome import Unanswered
from appliance.scanning.result import EngineState, ScanResult
from appliance.scanning.scanner import Scanner
from tests.support.clamd import Clamd, VersionDaemon
from tests.support.contents import EICAR
from tests.support.scanning import DEADLINE, EICAR_ONLY, scanned, until

EVIL = b"evil content"


@asynccontextmanager
async def scanner_beside(socket: Path) -> AsyncIterator[Scanner]:
    """A scanner that asks the clamd at `socket` often."""
    clamd = ClamdSettings(enabled=True, socket=socket, timeout_seconds=5, poll_seconds=0.1)
    engines = replace(EICAR_ONLY, clamd=clamd)
    scanner = await asyncio.wait_for(Scanner.start(ScanningSettings(workers=1), engines), DEADLINE)
    try:
        yield scanner
    finally:
        await asyncio.wait_for(scanner.close(), DEADLINE)


def state(scanner: Scanner) -> EngineState:
    """How clamd is."""
    return next(state for state in scanner.states() if state.name == "clamd")


async def comes_to(scanner: Scanner, data: bytes, threats: list[str]) -> ScanResult:
    """Scan until the result has these threats and is an answer."""
    for _ in range(1000):
        result: ScanResult = await scanned(scanner, data)
        if [found.threat for found in result.detections] == threats and result.no_answer is None:
            return result
        await asyncio.sleep(0.02)
    raise AssertionError(f"{data!r} never comes to {threats}, but {result}")


async def test_clamd_scans_out_of_the_sandbox(tmp_path: Path) -> None:
    """The descriptor is passed on to it from a worker that sees nothing but its socket."""
    async with Clamd(tmp_path, {"Own.Evil": EVIL}) as clamd:
        await clamd.start()
        async with scanner_beside(clamd.socket) as scanner:
            assert state(scanner).ready
            assert state(scanner).version.startswith("ClamAV ")
            assert [found.threat for found in (await scanned(scanner, EVIL)).detections] == [
                "Own.Evil.UNOFFICIAL"
            ]
            assert (await scanned(scanner, b"good")) == ScanResult((), None, scanner.generation)


async def test_a_clamd_that_goes_is_said_and_one_that_comes_back_is_used(tmp_path: Path) -> None:
    """Gone: ENGINE_ERROR, and the generation stays. It may come back in a directory made anew."""
    async with Clamd(tmp_path, {"Own.Evil": EVIL}) as clamd:
        await clamd.start()
        async with scanner_beside(clamd.socket) as scanner:
            generation = scanner.generation
            await clamd.stop()
            await until(lambda: not state(scanner).ready, "the absence is seen")
            missed = await scanned(scanner, b"good")
            assert missed.no_answer is not None
            assert missed.no_answer.why is Unanswered.ENGINE_ERROR
            assert (await scanned(scanner, EICAR)).detections
            assert scanner.generation == generation
            await clamd.start()
            await comes_to(scanner, EVIL, ["Own.Evil.UNOFFICIAL"])
            await until(lambda: state(scanner).ready, "the return is seen")
            assert scanner.generation == generation


async def test_a_clamd_that_comes_late_is_used(tmp_path: Path) -> None:
    """Not even its directory was there when the workers started; its version makes a generation."""
    async with Clamd(tmp_path, {"Own.Evil": EVIL}) as clamd, scanner_beside(clamd.socket) as scanner:
        told: list[int] = []
        scanner.on_generation.append(told.append)
        await clamd.start()
        # Its socket may be seen, and a content found in, before its version is heard.
        await until(lambda: state(scanner).ready, "clamd is seen")
        result = await comes_to(scanner, EVIL, ["Own.Evil.UNOFFICIAL"])
        assert told == [result.generation] == [scanner.generation]


async def test_new_signatures_of_clamd_are_a_new_generation(tmp_path: Path) -> None:
    """Who listens is told the number; the version before brings its number back; silence changes nothing."""
    daemon = VersionDaemon(tmp_path / "clamd.ctl")
    await daemon.start()
    async with scanner_beside(daemon.path) as scanner:
        told: list[int] = []
        scanner.on_generation.append(told.append)
        first, version = scanner.generation, daemon.version
        daemon.version = b"ClamAV 1.4.3/27701/Tue Jul 15 08:35:11 2025"
        await until(lambda: told, "the new version is seen")
        assert told == [scanner.generation] != [first]
        assert "27701" in state(scanner).version
        daemon.version = version
        await until(lambda: len(told) == 2, "the old version is seen")
        assert scanner.generation == first
        daemon.version = b""
        await until(lambda: not state(scanner).ready, "the silence is seen")
        assert scanner.generation == first
    await daemon.stop()
