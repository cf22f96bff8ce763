"""When the daemon has this machine enrol by its host."""

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest_stub.identity import by_host as module
from guest_stub.identity.by_host import ByHost, pause_before
from guest_stub.identity.child import Command
from guest_stub.identity.kept import by_host
from guest_stub.identity.port import PORT_NAME, Ports
from guest_stub.identity.store import IdentityStore
from tests.support.held_files import until
from tests.unit.guest_stub.identity.test_kept import SOUND


class Links:
    """A way to the SVM."""

    def __init__(self) -> None:
        self.refused = False
        self.opened = 0

    def anew(self) -> None:
        """Count."""
        self.opened += 1
        self.refused = False


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses."""
    for name in ("LOOK_SECONDS", "FIRST_PAUSE_SECONDS", "SETTLE_SECONDS"):
        monkeypatch.setattr(module, name, 0.01)


def program(directory: Path, text: str = "") -> Command:
    """In place of `guest-stub enrol --from-host`: it notes that it ran, and does what is given."""
    noted = f"open({str(directory / 'ran')!r}, 'a').write('x')\n"
    return Command([sys.executable, "-c", f"import sys\n{noted}{text}"])


def enrols(store: IdentityStore, directory: Path) -> Command:
    """One that leaves an identity."""
    with IdentityStore(directory / "made").open() as opened:
        opened.keep(replace(SOUND, begins=time.time() - 60, ends=time.time() + 3600))
    places = f"{str(directory / 'made')!r}, {str(store.state)!r}"
    return program(directory, f"import shutil\nshutil.copytree({places}, dirs_exist_ok=True)")


def runs(directory: Path) -> int:
    """How often the program ran."""
    return (directory / "ran").stat().st_size if (directory / "ran").exists() else 0


def plug(directory: Path) -> None:
    """The host gives the machine the port."""
    (directory / PORT_NAME).touch()


@asynccontextmanager
async def running(store: IdentityStore, links: Links, command: Command) -> AsyncIterator[ByHost]:
    """It, with the ports of the state's directory."""
    place = store.state.parent
    part = ByHost(store, links, command, Ports(place, place / "none", place))
    task = asyncio.get_running_loop().create_task(part.run())
    try:
        yield part
        assert not task.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_who_is_nobody_enrols_as_soon_as_there_is_a_port(tmp_path: Path) -> None:
    """Once: then it is somebody."""
    store, links = IdentityStore(tmp_path / "state"), Links()
    async with running(store, links, enrols(store, tmp_path)):
        await asyncio.sleep(0.1)
        assert runs(tmp_path) == 0
        plug(tmp_path)
        await until(lambda: links.opened == 1)
        assert store.proof()
        await asyncio.sleep(0.1)
    assert runs(tmp_path) == 1


async def test_who_is_somebody_is_left_alone(tmp_path: Path) -> None:
    """Until the SVM does not take him for that any more."""
    store, links = IdentityStore(tmp_path / "state"), Links()
    with store.open() as opened:
        opened.keep(replace(SOUND, begins=time.time() - 60, ends=time.time() + 3600))
    plug(tmp_path)
    async with running(store, links, program(tmp_path)) as part:
        assert not part._is_wanted()
        links.refused = True
        await until(lambda: links.opened == 1)
    assert runs(tmp_path) == 1


@pytest.mark.parametrize("state", ["over", "damaged", "copied"])
async def test_whose_identity_is_of_no_use_enrols(tmp_path: Path, state: str) -> None:
    """Its time is over, its file is damaged, or it is another machine's, which was copied."""
    store = IdentityStore(tmp_path / "state", lambda: "6ba7b810-9dad-11d1-80b4-00c04fd430c8")
    ends = time.time() + (-1 if state == "over" else 3600)
    asked_with = by_host(SOUND.guest) if state == "copied" else SOUND.asked_with
    with store.open() as opened:
        opened.keep(replace(SOUND, begins=time.time() - 60, ends=ends, asked_with=asked_with))
    if state == "damaged":
        (store.directory / "identity.json").write_text("{")
    plug(tmp_path)
    links = Links()
    async with running(store, links, program(tmp_path)):
        await until(lambda: links.opened >= 1)


async def test_one_that_fails_is_said_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In the program's own words."""
    caplog.set_level(logging.INFO)
    plug(tmp_path)
    store, links = IdentityStore(tmp_path / "state"), Links()
    failing = program(tmp_path, "print('guest-stub: the host refuses', file=sys.stderr)\nsys.exit(2)")
    async with running(store, links, failing):
        await until(lambda: runs(tmp_path) >= 3)
    assert "this guest was not enrolled by its host: the host refuses" in caplog.messages
    assert links.opened == 0


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_pause_is_neither_short_nor_long(failures: int, chance: float) -> None:
    """Five minutes at the most: somebody may wait for it."""
    assert module.FIRST_PAUSE_SECONDS / 2 <= pause_before(failures, lambda: chance) <= 300
