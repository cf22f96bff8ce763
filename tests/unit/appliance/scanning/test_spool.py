"""Tests of appliance/scanning/spool.py."""

import asyncio
import errno
import fcntl
import gc
import hashlib
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from appliance.domain.guest import Owner
from appliance.scanning.spool import (
    MAX_WAITING_PER_GUEST,
    Spool,
    SpoolBusy,
    SpoolFile,
    TooLargeForSpool,
    TooMuchContent,
)
from tests.support.descriptors import open_descriptors

SOON = 30.0


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


def of(guest: str, tenant: int = 16) -> Owner:
    """A guest of a tenant."""
    return Owner(tenant, guest)


def ask(spool: Spool, guest: str, size: int) -> asyncio.Task[SpoolFile]:
    """A reservation in a task of its own."""
    return asyncio.get_running_loop().create_task(spool.reserve(of(guest), size, SOON))


async def test_content_is_hashed_as_it_arrives_and_sealed_when_whole() -> None:
    """finish() returns the SHA-256, and nobody can change the content after it."""
    file = await Spool(1000, 1000, 1000).reserve(of("a"), 6, SOON)
    file.write(b"abc")
    file.write(b"def")
    assert file.received == 6
    assert file.finish() == hashlib.sha256(b"abcdef").digest()
    assert os.pread(file.fd, 100, 0) == b"abcdef"
    for change in (lambda: os.pwrite(file.fd, b"x", 0), lambda: os.ftruncate(file.fd, 0)):
        with pytest.raises(PermissionError):
            change()
    reopened = os.open(f"/proc/self/fd/{file.fd}", os.O_RDWR)
    with pytest.raises(PermissionError):
        os.write(reopened, b"x")
    os.close(reopened)
    seals = fcntl.fcntl(file.fd, fcntl.F_GET_SEALS)
    assert seals & fcntl.F_SEAL_WRITE
    assert seals & fcntl.F_SEAL_SEAL
    file.close()


async def test_empty_content_is_a_content() -> None:
    """A size of zero gives a sealed empty file."""
    spool = Spool(1000, 1000, 1000)
    file = await spool.reserve(of("a"), 0, SOON)
    assert file.finish() == hashlib.sha256(b"").digest()
    file.close()
    assert spool.used_bytes == 0


async def test_more_content_than_said_is_refused() -> None:
    """The byte that is over raises TooMuchContent and is not taken."""
    file = await Spool(1000, 1000, 1000).reserve(of("a"), 3, SOON)
    file.write(b"abc")
    with pytest.raises(TooMuchContent, match="3 bytes"):
        file.write(b"d")
    assert file.received == 3
    file.close()


async def test_half_a_content_is_not_sealed() -> None:
    """finish() before the last byte is an error of the caller."""
    file = await Spool(1000, 1000, 1000).reserve(of("a"), 3, SOON)
    file.write(b"ab")
    with pytest.raises(ValueError, match="2 bytes of 3"):
        file.finish()
    file.close()


@pytest.mark.parametrize("limits", [(10, 100, 100), (100, 10, 100), (100, 100, 10)])
async def test_what_can_never_fit_is_refused_at_once(limits: tuple[int, int, int]) -> None:
    """Over the file's, the guest's or the whole limit: TooLargeForSpool without a wait."""
    with pytest.raises(TooLargeForSpool, match="11 bytes"):
        await Spool(*limits).reserve(of("a"), 11, SOON)


async def test_close_gives_the_room_back_once() -> None:
    """The second close() changes nothing, and no descriptor stays open."""
    spool = Spool(1000, 1000, 1000)
    before = open_descriptors()
    file = await spool.reserve(of("a"), 400, SOON)
    other = await spool.reserve(of("a"), 400, SOON)
    assert spool.used_bytes == 800
    file.close()
    file.close()
    assert spool.used_bytes == 400
    other.close()
    assert spool.used_bytes == 0
    assert open_descriptors() <= before


async def test_waiters_get_room_in_their_order() -> None:
    """A large one that came first is not overtaken by small ones that would fit."""
    spool = Spool(100, 100, 100)
    first, second = await spool.reserve(of("a"), 60, SOON), await spool.reserve(of("b"), 30, SOON)
    large, small = ask(spool, "c", 90), ask(spool, "d", 5)
    await settle()
    assert spool.waiting == 2
    second.close()
    await settle()
    assert not large.done()
    assert not small.done()
    first.close()
    for task in (large, small):
        (await task).close()
    assert spool.used_bytes == 0


async def test_a_guest_at_its_own_share_stands_in_nobodys_way() -> None:
    """Others are served past a guest that waits for its own uploads, which keep their order."""
    spool = Spool(120, 60, 60)
    held = await spool.reserve(of("greedy"), 50, SOON)
    own_large, own_small = ask(spool, "greedy", 60), ask(spool, "greedy", 5)
    await settle()
    other = await asyncio.wait_for(spool.reserve(of("other"), 40, SOON), SOON)
    await settle()
    assert not own_large.done()
    assert not own_small.done()
    held.close()
    (await own_large).close()
    (await own_small).close()
    other.close()


async def test_no_room_in_time_is_busy() -> None:
    """When the deadline passes the caller is told to come later, and leaves nothing behind."""
    spool = Spool(100, 100, 100)
    held = await spool.reserve(of("a"), 100, SOON)
    with pytest.raises(SpoolBusy, match=r"within 0\.01 s"):
        await spool.reserve(of("b"), 1, 0.01)
    assert spool.waiting == 0
    held.close()
    assert spool.used_bytes == 0


async def test_a_cancelled_wait_lets_the_next_one_in() -> None:
    """A guest that goes away while it waits does not hold up the one behind it."""
    spool = Spool(100, 100, 100)
    held = await spool.reserve(of("a"), 50, SOON)
    large, small = ask(spool, "b", 90), ask(spool, "c", 50)
    await settle()
    large.cancel()
    (await asyncio.wait_for(small, SOON)).close()
    held.close()
    assert spool.used_bytes == 0
    assert spool.waiting == 0


async def test_a_wait_that_is_cancelled_as_it_is_granted_gives_the_room_back() -> None:
    """No room is lost between the grant and the waiter that has gone."""
    spool = Spool(100, 100, 100)
    held = await spool.reserve(of("a"), 100, SOON)
    waiting = ask(spool, "b", 100)
    await settle()
    held.close()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert spool.used_bytes == 0


async def test_a_guest_has_a_bounded_number_of_waits() -> None:
    """One more is refused at once; another guest may still wait."""
    spool = Spool(100, 100, 100)
    held = await spool.reserve(of("a"), 100, SOON)
    waits = [ask(spool, "b", 1) for _ in range(MAX_WAITING_PER_GUEST)]
    await settle()
    with pytest.raises(SpoolBusy, match="wait for room already"):
        await spool.reserve(of("b"), 1, SOON)
    other = ask(spool, "c", 1)
    await settle()
    held.close()
    for task in [*waits, other]:
        (await task).close()
    assert spool.used_bytes == 0


async def test_many_small_contents_use_a_bounded_number_of_descriptors() -> None:
    """A content counts as 1/2048 of the spool at least, so empty ones cannot exhaust descriptors."""
    spool = Spool(2048 * 100, 1000, 100 * 10)
    files = [await spool.reserve(of("a"), 0, SOON) for _ in range(10)]
    with pytest.raises(SpoolBusy):
        await spool.reserve(of("a"), 0, 0.01)
    for file in files:
        file.close()


@contextmanager
def lowered(what: int, soft: int) -> Iterator[None]:
    """A lower limit of this process for a moment."""
    before = resource.getrlimit(what)
    resource.setrlimit(what, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, before)


async def test_a_machine_without_memory_is_busy() -> None:
    """An error of the kernel while bytes are written becomes SpoolBusy, with the kernel's word."""
    spool = Spool(1 << 20, 1 << 20, 1 << 20)
    file = await spool.reserve(of("a"), 1 << 20, SOON)
    with lowered(resource.RLIMIT_FSIZE, 4096), pytest.raises(SpoolBusy, match=os.strerror(errno.EFBIG)):
        file.write(bytes(1 << 20))
    file.close()
    assert spool.used_bytes == 0


async def test_a_machine_without_descriptors_is_busy() -> None:
    """A reservation that gets no memory file is refused and holds no room."""
    spool = Spool(1 << 20, 1 << 20, 1 << 20)
    gc.collect()  # so that no descriptor comes free by chance
    with lowered(resource.RLIMIT_NOFILE, 1), pytest.raises(SpoolBusy, match=os.strerror(errno.EMFILE)):
        await spool.reserve(of("a"), 1, SOON)
    assert spool.used_bytes == 0


async def test_room_goes_to_the_guest_that_has_least() -> None:
    """Guests that hold much and ask for more stand behind one that holds nothing, whoever asked first."""
    spool = Spool(4000, 4000, 4000)
    held = [await spool.reserve(of("greedy"), 1000, SOON) for _ in range(4)]
    more, modest = ask(spool, "greedy", 1000), ask(spool, "modest", 1000)
    await settle()
    assert spool.reserve_now(of("third"), 1000) is None
    held.pop().close()
    await settle()
    assert (more.done(), modest.done()) == (False, True)
    (await modest).close()
    held.append(await more)
    for file in held:
        file.close()
    assert spool.used_bytes == 0


async def test_small_contents_have_a_part_of_their_own() -> None:
    """Large ones get seven eighths; a small one goes past those that wait, and not into their room."""
    spool = Spool(6400, 6400 * 3 // 4, 6400 * 3 // 4)
    held = [await spool.reserve(of("greedy"), 4000, SOON), await spool.reserve(of("other"), 1500, SOON)]
    large = ask(spool, "patient", 2000)
    await settle()
    assert spool.is_wanted
    small = spool.reserve_now(of("modest"), 100)
    assert small is not None
    held[1].close()
    await settle()
    assert not large.done()
    more = spool.reserve_now(of("modest"), 100)
    assert more is None  # its share of the part is spent, and the rest is for the large one
    waiting = ask(spool, "modest", 100)
    held[0].close()
    for file in (await large, small, await waiting):
        file.close()
    assert spool.used_bytes == 0
    assert not spool.is_wanted


async def test_nobody_takes_the_part_for_small_contents_alone() -> None:
    """A guest's claims on it are bounded, whether it has asked for more or not; the next guest gets some."""
    spool = Spool(6400, 4800, 4800)
    held = [await spool.reserve(of("greedy"), 4800, SOON), await spool.reserve(of("other"), 800, SOON)]
    first = spool.reserve_now(of("a"), 100)
    assert first is not None
    waiting = [ask(spool, "a", 100) for _ in range(3)]
    await settle()
    assert not any(task.done() for task in waiting)
    assert not spool.is_wanted
    files = [spool.reserve_now(of(f"guest {number}"), 100) for number in range(7)]
    assert all(files)
    late = ask(spool, "late", 100)
    await settle()
    assert spool.is_wanted
    for file in (first, *held, *files):
        assert file is not None
        file.close()
    for task in (*waiting, late):
        (await task).close()
    assert spool.used_bytes == 0


async def test_who_waits_for_its_own_share_wants_nothing_of_others() -> None:
    """Slow uploads of others are not to be cut off for it."""
    spool = Spool(1000, 500, 500)
    held = await spool.reserve(of("a"), 500, SOON)
    waiting = ask(spool, "a", 200)
    await settle()
    assert spool.waiting == 1
    assert not spool.is_wanted
    held.close()
    (await waiting).close()


async def test_a_user_with_many_tickets_stands_behind_one_with_few() -> None:
    """Room that comes free goes to the user that has least, then to whom some was given least lately."""
    spool = Spool(4000, 4000, 4000)
    greedy = [f"uid-1001.pid-9.{number}" for number in range(2, 6)]
    held = [await spool.reserve(of(name), 1000, SOON) for name in greedy]
    claims = [ask(spool, f"uid-1001.pid-{number}", 4000) for number in range(10)]
    await settle()
    modest = ask(spool, "uid-0.pid-1", 1000)
    await settle()
    held.pop().close()
    file = await asyncio.wait_for(modest, SOON)
    for task in claims:
        task.cancel()
    await asyncio.gather(*claims, return_exceptions=True)
    for other in (file, *held):
        other.close()
    assert (spool.used_bytes, spool.waiting) == (0, 0)


async def test_room_goes_to_whom_it_went_least_lately() -> None:
    """Among guests that hold nothing, one that held all just now is not first again."""
    spool = Spool(1000, 1000, 1000)
    held = await spool.reserve(of("greedy"), 1000, SOON)
    again, patient = ask(spool, "greedy", 1000), ask(spool, "patient", 1000)
    await settle()
    held.close()
    await settle()
    assert (again.done(), patient.done()) == (False, True)
    (await patient).close()
    (await again).close()


async def test_guests_that_were_given_room_are_forgotten_in_time() -> None:
    """Names without end fill no memory."""
    spool = Spool(1000, 1000, 1000)
    for number in range(3000):
        (await spool.reserve(of(f"ip-{number}"), 900, SOON)).close()
    assert len(spool._granted) <= 1024


async def test_room_goes_to_the_tenant_that_has_least() -> None:
    """However little each guest of another tenant has, and however long they wait already."""
    spool = Spool(4000, 4000, 4000)
    held = [await spool.reserve(of(f"loud-{number}"), 1000, SOON) for number in range(4)]
    claims = [ask(spool, f"new-{number}", 500) for number in range(5)]
    await settle()
    quiet = asyncio.get_running_loop().create_task(spool.reserve(of("quiet", 17), 900, SOON))
    await settle()
    held.pop().close()
    file = await asyncio.wait_for(quiet, SOON)
    assert not any(task.done() for task in claims)
    for task in claims:
        task.cancel()
    await asyncio.gather(*claims, return_exceptions=True)
    for other in (file, *held):
        other.close()
    assert spool.used_bytes == 0


async def test_beside_others_a_tenant_leaves_some_room() -> None:
    """Alone it has all; where another is here it waits for its own share, and in nobody's way."""
    spool = Spool(4000, 1000, 1000, tenant_percent=50)
    alone = [await spool.reserve(of(f"a{number}"), 900, SOON) for number in range(3)]
    for file in alone:
        file.close()
    for tenant in (16, 17):
        spool.company.note(of("g", tenant))
    held = [await spool.reserve(of(f"a{number}"), 900, SOON) for number in range(2)]
    waits = ask(spool, "a3", 900)
    await settle()
    assert not waits.done()
    assert not spool.is_wanted
    other = spool.reserve_now(of("b", 17), 900)
    assert other is not None
    held.pop().close()
    for file in (*held, other, await asyncio.wait_for(waits, SOON)):
        file.close()
    assert (spool.used_bytes, spool.waiting) == (0, 0)
