"""What `guest-stub run` tells the SVM of what happens in its guest, as `svm events` shows it."""

import asyncio
import hashlib
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import svm_program
from tests.support.contents import EICAR
from tests.support.protected import Protected, protected
from tests.support.svm_process import SvmProcess, svm_process

DIGEST = hashlib.sha256(EICAR).hexdigest()
THREAT = "Eicar-Test-Signature"
DEADLINE = 60.0


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where the SVM of the test keeps things."""
    (tmp_path / "svm").mkdir()
    return tmp_path / "svm"


@pytest.fixture
def svm(directory: Path) -> Iterator[SvmProcess]:
    """A serving SVM."""
    with svm_process(directory) as process:
        yield process


Event = dict[str, Any]


async def events(directory: Path, *words: str) -> list[Event]:
    """What `svm events` shows."""
    admin = {"KVMLA_ADMIN_SOCKET": f"{directory}/admin.sock"}
    ran = await asyncio.to_thread(svm_program, "events", "--json", "--limit", "1000", *words, environ=admin)
    assert ran.code == 0, ran.err
    found: list[Event] = ran.json
    return found


async def told(directory: Path, enough: Callable[[list[Event]], bool]) -> list[Event]:
    """The events by guests' word, once there are enough."""
    found: list[Event] = []
    try:
        async with asyncio.timeout(DEADLINE):
            while not enough(found):
                found = [event for event in await events(directory) if event["said"]]
    except TimeoutError:
        raise AssertionError(f"not told of: {found}") from None
    return found


def said(event: Event) -> tuple[str, str | None, str | None]:
    """What kind, where, and what came of it."""
    return event["kind"], event["said"]["path"], event["said"]["action"]


def has(*wanted: tuple[str, str | None, str | None]) -> Callable[[list[Event]], bool]:
    """Whether all of these were told of."""
    return lambda found: set(wanted) <= {said(event) for event in found}


def at(machine: Protected, name: str) -> str:
    """A file's path."""
    return f"{machine.top}/{name}"


async def denied(machine: Protected, name: str) -> bool:
    """Whether somebody who opens a file is refused."""
    ran = await machine.run("cat", machine.top / name)
    return "Operation not permitted" in ran.err


async def test_a_blocked_file_is_an_event_of_the_guest(svm: SvmProcess, tmp_path: Path) -> None:
    """With all that the guest knows of it; and so are the start and the end of its protection."""
    async with protected(tmp_path, svm.target) as machine:
        await machine.says("the SVM answers")
        await machine.write("bad.com", EICAR)
        assert await denied(machine, "bad.com")
        blocked = "detection", at(machine, "bad.com"), "blocked"
        found = await told(svm.directory, has(blocked))
        [event] = [event for event in found if said(event) == blocked]
        assert (event["digest"], event["threat"]) == (DIGEST, THREAT)
        assert event["said"]["process"] == "cat"
        assert re.fullmatch(r"malicious; open by process \d+", event["text"])
        assert await machine.stop() == 0
        [started] = [event for event in found if event["kind"] == "stub-start"]
        assert started["text"].endswith("block-open, action block")
        found = await told(svm.directory, lambda found: any(each["kind"] == "stub-stop" for each in found))
        assert found[-1]["text"] == "told to stop"
        assert (tmp_path / "stub" / "events").read_bytes() == b""


async def test_what_is_done_with_a_file_is_an_event(svm: SvmProcess, tmp_path: Path) -> None:
    """And that it came back is another."""
    settings = '[on_access]\naction = "quarantine"\n'
    async with protected(tmp_path, svm.target, settings=settings) as machine:
        await machine.says("the SVM answers")
        await machine.write("bad.com", EICAR)
        await denied(machine, "bad.com")  # or gone by then: it was looked at when it was written
        path = at(machine, "bad.com")
        found = await told(svm.directory, has(("action", path, "quarantined")))
        [event] = [event for event in found if event["kind"] == "action"]
        assert (event["digest"], event["threat"]) == (DIGEST, THREAT)
        admin = {"KVMLA_ADMIN_SOCKET": f"{svm.directory}/admin.sock"}
        words = ("verdicts", "set", DIGEST, "--allow", "--reason", "a false positive")
        assert (await asyncio.to_thread(svm_program, *words, environ=admin)).code == 0
        await told(svm.directory, has(("action", path, "restored")))


async def test_what_happens_without_an_svm_is_told_when_it_is_back(directory: Path, tmp_path: Path) -> None:
    """A file that stays denied, one that is let through, and that this one turns out to be bad: each once."""
    target = f"unix:{directory}/svm.sock"
    async with protected(tmp_path, target) as machine:
        with svm_process(directory) as svm:
            await machine.says("the SVM answers")
            await machine.write("known.com", EICAR)
            await asyncio.sleep(2.1)
            assert await denied(machine, "known.com")
            await told(directory, has(("detection", at(machine, "known.com"), "blocked")))
            await asyncio.sleep(1.2)  # by when the decision is kept
            svm.signal(signal.SIGKILL)
            svm.wait()
        await machine.says("the SVM is gone")
        assert await denied(machine, "known.com")
        await machine.write("other.com", EICAR + b"\n")
        assert not await denied(machine, "other.com")
        await machine.says("was answered with allow")
        with svm_process(directory):
            found = await told(
                directory,
                lambda found: (
                    has(("detection", at(machine, "other.com"), "reported"))(found)
                    and ("fallback", "allowed") in {(each["kind"], each["said"]["action"]) for each in found}
                    and _times(found, "detection", at(machine, "known.com"), "blocked") == 2
                ),
            )
            assert await machine.stop() == 0
            assert _times(found, "detection", at(machine, "other.com"), "reported") == 1
            numbers = Counter(
                (event["kind"], event["said"]["number"], event["said"]["at"]) for event in found
            )
            assert set(numbers.values()) == {1}


def _times(found: list[Event], *wanted: str) -> int:
    """How often it happened, by what was told."""
    return sum(event["count"] or 1 for event in found if said(event) == wanted)


async def test_a_killed_stub_loses_no_event(directory: Path, tmp_path: Path) -> None:
    """What it had not told when it was killed the next one tells, once."""
    target = f"unix:{directory}/svm.sock"
    async with protected(tmp_path, target) as machine:
        for number in range(5):
            await machine.write(f"file{number}", b"what is in it nobody can say")
        assert (await machine.run("sh", "-c", f"cat {machine.top}/file*")).code == 0
        await machine.says("was answered with allow")
        assert await machine.stop(signal.SIGKILL) != 0
        pending = (tmp_path / "stub" / "events").read_text()
        assert '"action": "allowed"' in pending
    with svm_process(directory):
        async with protected(tmp_path, target) as machine:
            found = await told(
                directory, lambda found: sum(event["kind"] == "stub-start" for event in found) == 2
            )
            assert Counter(event["kind"] for event in found)["fallback"] == pending.count('"kind": 3')
            assert found[0]["kind"] == "stub-start"
            assert await machine.stop() == 0
        async with protected(tmp_path, target) as machine:
            found = await told(
                directory, lambda found: sum(event["kind"] == "stub-start" for event in found) >= 3
            )
            assert Counter(event["kind"] for event in found)["fallback"] == pending.count('"kind": 3')


async def test_ten_detections_of_a_guest_are_one_outbreak(svm: SvmProcess, tmp_path: Path) -> None:
    """Nine files are none, however often each is opened."""
    async with protected(tmp_path, svm.target) as machine:
        await machine.says("the SVM answers")
        for number in range(9):
            await machine.write(f"bad{number}", EICAR)
            for _ in range(3):
                assert await denied(machine, f"bad{number}")
        await told(svm.directory, has(*[("detection", at(machine, f"bad{n}"), "blocked") for n in range(9)]))
        await told(svm.directory, lambda found: any(event["count"] for event in found))
        assert await events(svm.directory, "--kind", "outbreak") == []
        await machine.write("bad9", EICAR)
        assert await denied(machine, "bad9")
        await told(svm.directory, has(("detection", at(machine, "bad9"), "blocked")))
        async with asyncio.timeout(DEADLINE):
            while not (outbreaks := await events(svm.directory, "--kind", "outbreak")):
                pass
        [outbreak] = outbreaks
        assert outbreak["threat"] == THREAT
        assert len(outbreak["guests"]) == 1


async def test_many_fallbacks_are_few_events_with_a_count(directory: Path, tmp_path: Path) -> None:
    """And ten thousand would be as few."""
    async with protected(tmp_path, f"unix:{directory}/svm.sock") as machine:
        await machine.write("file", b"what is in it nobody can say")
        loop = f"i=0; while [ $i -lt 500 ]; do read x < {machine.top}/file; i=$((i+1)); done; true"
        assert (await machine.run("sh", "-c", loop)).code == 0
        await machine.says("was answered with allow")
        with svm_process(directory):
            found = await told(
                directory,
                lambda found: (
                    sum(event["count"] or 1 for event in found if said(event)[2] == "allowed") == 500
                ),
            )
            allowed = [event for event in found if said(event)[2] == "allowed"]
            assert len(allowed) <= 12
            assert {event["kind"] for event in allowed} == {"fallback"}
            assert {event["text"] for event in allowed} == {"no SVM answers"}
            assert await machine.stop() == 0


async def test_a_flood_of_bad_files_fills_neither_side(svm: SvmProcess, tmp_path: Path) -> None:
    """A thousand of them, opened as fast as can be, are some hundred events, at a pace that the SVM takes."""
    async with protected(tmp_path, svm.target) as machine:
        await machine.says("the SVM answers")
        for number in range(1000):
            await machine.write(f"bad{number}", EICAR)
        assert (await machine.run("sh", "-c", f"for f in {machine.top}/bad*; do read x < $f; done")).code
        await machine.says("more detections in the last second")
        found = await told(
            svm.directory,
            lambda found: _all_of(found, "blocked") == 1000,
        )
        assert len([event for event in found if event["kind"] == "detection"]) < 500
        assert "made to wait" not in svm.log  # it stays within limits.events_per_second
        assert await machine.stop() == 0


def _all_of(found: list[Event], action: str) -> int:
    return sum(event["count"] or 1 for event in found if event["said"]["action"] == action)
