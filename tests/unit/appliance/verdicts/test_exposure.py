"""The exposure: gathered, written, merged, asked."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import lmdb
import pytest

from appliance.verdicts import exposure as exposure_module
from appliance.verdicts import exposure_store
from appliance.verdicts.exposure import MOST_GATHERED, SPILL_BYTES, Exposure, Gatherer, Holder
from appliance.verdicts.exposure_store import ExposureStore, ExposureTerms
from tests.support.svm import until

NOW = 1_900_000_000
HOUR = NOW // 3600 * 3600


def digest(number: int) -> bytes:
    """A digest."""
    return hashlib.sha256(number.to_bytes(4, "big")).digest()


class Reluctant(ExposureStore):
    """A store that cannot be written while it is `full`."""

    full = False

    def merge(self) -> bool:
        """As the store does, or not."""
        if self.full:
            raise lmdb.DiskError("no space left")
        return super().merge()


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[Exposure]:
    """An exposure that runs."""
    exposure = Exposure(Reluctant.open(directory, ExposureTerms(map_bytes=64 << 20), NOW), lambda: NOW)
    work = asyncio.get_running_loop().create_task(exposure.run())
    try:
        yield exposure
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await exposure.close()


async def test_who_asked_holds_it_at_once(tmp_path: Path) -> None:
    """Before anything was merged, and after the guest went."""
    async with running(tmp_path) as exposure:
        gatherer = exposure.attached("ip-1")
        gatherer.add([digest(1), digest(2)])
        assert await exposure.holders(digest(1)) == [Holder("ip-1", HOUR, HOUR)]
        gatherer.add([digest(3)])
        exposure.detached("ip-1")
        assert await exposure.holders(digest(3)) == [Holder("ip-1", HOUR, HOUR)]
        assert await exposure.holders(digest(4)) == []
        assert [guest.name for guest in exposure.guests()] == ["ip-1"]


async def test_a_guest_that_attaches_anew_loses_nothing(tmp_path: Path) -> None:
    """What it asked on the stream before counts."""
    async with running(tmp_path) as exposure:
        exposure.attached("ip-1").add([digest(1)])
        exposure.attached("ip-1").add([digest(2)])
        assert await exposure.holders(digest(1)) == await exposure.holders(digest(2)) != []


async def test_what_was_gathered_at_the_end_is_kept(tmp_path: Path) -> None:
    """Also of a guest that is still there."""
    async with running(tmp_path) as exposure:
        exposure.attached("ip-1").add([digest(1)])
    async with running(tmp_path) as exposure:
        assert [holder.guest for holder in await exposure.holders(digest(1))] == ["ip-1"]
        assert exposure.tenant_of("ip-1") == "default"
        assert exposure.tenant_of("ip-2") is None


async def test_files_of_a_guest_are_there_when_they_are_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a moment, where little is asked."""
    monkeypatch.setattr(exposure_module, "GATHER_SECONDS", 0.01)
    monkeypatch.setattr(exposure_module, "FIRST_SECONDS", 0.0)
    async with running(tmp_path) as exposure:
        exposure.attached("ip-1").add(list(map(digest, range(1000))))
        exposure.attached("ip-2").add([digest(1)])
        await until(lambda: exposure.figures()["exposure_new"] == 1001, "all is merged")
        found = [file async for some in exposure.files_of("ip-1") for file in some]
        assert sorted(map(digest, range(1000))) == [file[0] for file in found]
        assert [file async for some in exposure.files_of("nobody") for file in some] == []
        figures = exposure.figures()
        assert (figures["exposure_digests"], figures["exposure_guests"]) == (1000, 2)
        assert figures["exposure_waiting"] == 0


async def test_what_is_asked_is_entered_while_a_guest_asks_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood slows that; it does not keep it from going on."""
    monkeypatch.setattr(exposure_module, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(exposure_store, "RAW_SHARE", 256)
    async with running(tmp_path) as exposure:
        flood, batch = exposure.attached("ip-1"), list(map(digest, range(1024)))

        def entered(count: int) -> bool:
            while len(flood.digests) < SPILL_BYTES:
                flood.add(batch)
            return exposure.figures()["exposure_digests"] == count

        await until(lambda: entered(1024), "the flood is there")
        exposure.attached("ip-2").add([digest(5000)])
        await until(lambda: entered(1025), "another's is there")


def test_a_flood_is_bounded_in_memory_and_written_down_before() -> None:
    """It is told once that there is enough; what is over the bound is counted."""
    told: list[bool] = []
    gatherer = Gatherer(lambda: told.append(True))
    batch = list(map(digest, range(1024)))
    for _ in range(MOST_GATHERED // (1024 * 32) + 3):
        gatherer.add(batch)
    assert told == [True]
    assert len(gatherer.digests) <= MOST_GATHERED + 1024 * 32
    assert gatherer.dropped == 3 * 1024
    assert len(gatherer.take()) >= SPILL_BYTES
    gatherer.add(batch)
    assert len(gatherer.digests) == 1024 * 32


async def test_a_disk_that_takes_nothing_harms_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is noted, and over when it is over."""
    monkeypatch.setattr(exposure_module, "GATHER_SECONDS", 0.01)
    monkeypatch.setattr(exposure_module, "FIRST_SECONDS", 0.0)
    async with running(tmp_path) as exposure:
        store = exposure._store
        assert isinstance(store, Reluctant)
        store.full = True
        exposure.attached("ip-1").add([digest(1)])
        await until(lambda: bool(exposure.problem), "it is noted")
        assert exposure.figures()["exposure_failing"] == 1
        store.full = False
        await until(lambda: not exposure.problem, "it is over")
        assert len(await exposure.holders(digest(1))) == 1


async def test_who_holds_a_file_is_told_by_tenant(tmp_path: Path) -> None:
    """Two tenants hold it: each hears of its own guest, and of what that holds."""
    async with running(tmp_path) as exposure:
        exposure.attached("ours", "acme").add([digest(1)])
        exposure.attached("theirs", "other").add([digest(1), digest(2)])
        assert {holder.guest for holder in await exposure.holders(digest(1))} == {"ours", "theirs"}
        for tenant, guest in (("acme", "ours"), ("other", "theirs")):
            (holder,) = await exposure.holders(digest(1), tenant)
            assert (holder.guest, holder.tenant) == (guest, tenant)
        assert await exposure.holders(digest(2), "acme") == []
        assert [exposure.tenant_of(name) for name in ("ours", "theirs", "none")] == ["acme", "other", None]
        assert [some async for some in exposure.files_of("theirs", "acme")] == []
