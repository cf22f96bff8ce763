"""Real guest stubs that are killed: a scan that goes on where it was, a daemon whose guests are answered."""

import asyncio
import random
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.chaos.book import Book
from tests.chaos.broken import Broken
from tests.chaos.contents import Content, Kind, new_content
from tests.chaos.people import People
from tests.chaos.serving import PATIENCE, Serving
from tests.support.contents import EICAR
from tests.support.protected import Protected, lasting, protected
from tests.support.stub_program import ended, start

FILES = 25
OPEN_SECONDS = 0.5
SLACK = 20.0  # seconds that a busy machine may take beside
_SETTINGS = f"[on_access]\nopen_seconds = {OPEN_SECONDS}\n"


async def killed_scan(people: People, book: Book, source: random.Random) -> str:
    """Kill `guest-stub scan` at a random moment; the next one finds all that is bad, and nothing else."""
    serving = people.serving
    tree = serving.directory / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    bad = set[str]()
    for number in range(FILES):
        content = new_content(source)
        if content.kind is Kind.RED:  # KSN may know it or not, so nothing could be said of the scan
            continue
        book.holds(content)
        (tree / str(number)).write_bytes(content.data)
        if content.kind is Kind.EICAR:
            bad.add(str(tree / str(number)))
    words = ("scan", "--svm", serving.target, "--state", people.scanner, "--json", tree)
    first = await start(*words)
    after = source.uniform(0.1, 0.8)
    await asyncio.sleep(after)
    if first.returncode is None:
        first.kill()
    await first.communicate()
    second = await ended(await start(*words))
    found = {line["path"] for line in second.objects if line.get("outcome") == "malicious"}
    if found != bad or second.code != (1 if bad else 0):
        raise Broken(
            f"a scan after a killed one ended with {second.code}, missed {bad - found}, made up {found - bad}"
        )
    return f"guest-stub scan after {after:.3f} s"


async def killed_daemon(people: People, book: Book, source: random.Random) -> str:
    """Kill `guest-stub run` while files are opened: each gets its answer, and the next daemon protects."""
    serving = people.serving
    place = serving.directory / "daemon"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(people.daemon, place / "stub")  # as protected() has it
    async with lasting(place) as within:
        async with _daemon(serving, place, within) as machine:
            good = {f"good{number}": source.randbytes(500).hex().encode() for number in range(4)}
            files = {"bad.com": Content(EICAR, Kind.EICAR)}
            files |= {name: Content(data, Kind.PLAIN) for name, data in good.items()}
            for name, content in files.items():
                book.holds(content)
                await machine.write(name, content.data)
            began = time.monotonic()
            opening = [await machine.start("cat", machine.top / name) for name in files]
            after = source.uniform(0, 0.2)
            await asyncio.sleep(after)
            machine.process.kill()
            await _answered(opening, began)
        async with _daemon(serving, place, within) as machine:
            await _denied(machine, "bad.com")
            if (await machine.run("cat", machine.top / "good0")).code:
                raise Broken("a file that nobody objects to cannot be opened")
    return f"guest-stub run after {after:.3f} s"


@asynccontextmanager
async def _daemon(serving: Serving, place: Path, within: int) -> AsyncIterator[Protected]:
    async with protected(place, serving.target, settings=_SETTINGS, within=within) as machine:
        yield machine


async def _answered(opening: list[asyncio.subprocess.Process], began: float) -> None:
    """Return when all have been answered. Raises Broken where one waits longer than its budget."""
    try:
        async with asyncio.timeout(OPEN_SECONDS + SLACK):
            await asyncio.gather(*(process.communicate() for process in opening))
    except TimeoutError as error:
        raise Broken(f"an open has waited {time.monotonic() - began:.1f} s for a killed stub") from error


async def _denied(machine: Protected, name: str) -> None:
    """Return when the file cannot be opened: until the daemon is attached it may be let through."""
    end = time.monotonic() + PATIENCE
    while (await machine.run("cat", machine.top / name)).code == 0:
        if time.monotonic() > end:
            raise Broken(f"{name} can be opened though a daemon protects")
