"""What an administrator asks of a running SVM."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest
from lightagent.v1 import verdict_pb2

from appliance.control import SvmControl
from appliance.domain.outcome import Disposition
from appliance.domain.override import Override
from appliance.rpc.admin import ControlRefused
from appliance.state.store import FILE
from tests.support.contents import EICAR
from tests.support.held_state import nobody_can_write
from tests.support.svm import DEADLINE, RawGuest, Svm, digest_of, running_svm

BLOCK = Override(False, "ticket 4711", "uid-0", 1000)


def control_of(svm: Svm) -> SvmControl:
    """The administrator's side of the SVM."""
    return SvmControl(svm.parts, "1.2.3", unsandboxed=False, clock=time.time)


async def test_status_names_guests_and_engines(tmp_path: Path) -> None:
    """An operator sees who is attached and whether the engines are ready."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm):
        status = control_of(svm).status("")
        assert [guest.host_name for guest in status.guests] == ["raw"]
        assert [(engine.name, engine.ready) for engine in status.engines] == [("eicar", True)]
        assert status.generation == svm.parts.scanner.generation


async def test_an_override_is_durable_before_it_counts(tmp_path: Path) -> None:
    """It is in the state with its author, in force, and audited."""
    async with running_svm(tmp_path) as svm:
        control, digest = control_of(svm), digest_of(EICAR)
        override = Override(True, "our test file", "uid-0", int(time.time()))
        await control.set_override(digest, override, "")
        assert svm.parts.state.overrides() == {(0, digest): override}
        assert control.verdict(digest, "").override == override
        entry = next(iter(control.audit(10, "")))
        assert (entry.digest, entry.reason) == (digest, "our test file")


async def test_clearing_takes_back_the_override_and_the_verdict(tmp_path: Path) -> None:
    """After it nothing is known of the digest, and a second time there is nothing to clear."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as guest:
        control, digest = control_of(svm), digest_of(EICAR)
        reply = await guest.ask(digest)
        await guest.send(reply.details[0].lease, EICAR)
        view = control.verdict(digest, "")
        assert view.verdict is not None
        assert view.verdict.disposition is Disposition.MALICIOUS
        assert view.current
        await control.set_override(digest, Override(True, "why", "uid-0", 1), "")
        assert await control.clear(digest, "again", "uid-0", "")
        assert control.verdict(digest, "").verdict is None
        assert not await control.clear(digest, "again", "uid-0", "")


async def test_reload_of_the_same_content_keeps_the_generation(tmp_path: Path) -> None:
    """The same signatures give the same generation, so no verdict is lost."""
    async with running_svm(tmp_path) as svm:
        before, after = await control_of(svm).reload("who")
        assert before == after


async def test_figures_are_numbers(tmp_path: Path) -> None:
    """Every figure has one value, and the work shows in them."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as guest:
        reply = await guest.ask(digest_of(EICAR))
        await guest.send(reply.details[0].lease, EICAR)
        figures = control_of(svm).figures()
        assert all(isinstance(value, int | float) for value in figures.values())
        assert figures["engine_bytes"] == len(EICAR)
        assert figures["guests_attached"] == 1


async def test_a_full_state_refuses_with_a_sentence(tmp_path: Path) -> None:
    """What cannot be made durable is not put in force."""
    async with running_svm(tmp_path) as svm:
        svm.parts.state.close()
        digest = digest_of(b"x")
        with pytest.raises(ControlRefused):
            await control_of(svm).set_override(digest, Override(True, "why", "uid-0", 1), "")
        assert svm.parts.protection.overrides.of(16, digest) is None


async def test_guests_do_not_wait_for_the_disk(tmp_path: Path) -> None:
    """While an override is on its way to the disk guests are answered; it counts once it is there."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm) as guest:
        control, digest = control_of(svm), digest_of(b"x")
        with nobody_can_write(svm.settings.server.state_dir / FILE) as release:
            change = asyncio.get_running_loop().create_task(control.set_override(digest, BLOCK, ""))
            reply = await guest.ask(digest)
            assert list(reply.outcomes) == [verdict_pb2.OUTCOME_CONTENT_NEEDED]
            assert not change.done()
            assert control.verdict(digest, "").override is None
            release()
            await asyncio.wait_for(change, DEADLINE)
        assert control.verdict(digest, "").override == BLOCK
        assert list((await guest.ask(digest)).outcomes) == [verdict_pb2.OUTCOME_MALICIOUS]


async def test_what_is_in_force_is_what_was_written_last(tmp_path: Path) -> None:
    """Changes of many administrators at once have one order, on the disk, in force and in the audit."""
    async with running_svm(tmp_path) as svm:
        control, digest = control_of(svm), digest_of(b"x")
        words = [replace(BLOCK, allow=bool(number % 2), reason=f"word {number}") for number in range(20)]
        async with asyncio.TaskGroup() as group:
            for word in words:
                group.create_task(control.set_override(digest, word, ""))
        assert [entry.reason for entry in list(control.audit(50, ""))] == [
            word.reason for word in reversed(words)
        ]
        assert svm.parts.state.overrides() == {(0, digest): words[-1]}
        assert control.verdict(digest, "").override == words[-1]


async def test_a_change_is_made_whole_when_the_administrator_goes(tmp_path: Path) -> None:
    """What is on the disk is in force, also when nobody waits for the reply any more."""
    async with running_svm(tmp_path) as svm:
        control, digest = control_of(svm), digest_of(b"x")
        with nobody_can_write(svm.settings.server.state_dir / FILE) as release:
            change = asyncio.get_running_loop().create_task(control.set_override(digest, BLOCK, ""))
            await asyncio.sleep(0)
            change.cancel()
            await asyncio.sleep(0)
            assert not change.done()  # he has his place among calls for as long
            release()
            await asyncio.wait_for(control.finish(), DEADLINE)
            with pytest.raises(asyncio.CancelledError):
                await change
        assert svm.parts.state.overrides() == {(0, digest): BLOCK}
        assert control.verdict(digest, "").override == BLOCK


async def test_a_tenant_that_asks_for_much_and_goes_away_has_nobody_wait(tmp_path: Path) -> None:
    """Its changes that have not begun are dropped; of those that it waits for one goes before another's."""
    async with running_svm(tmp_path) as svm:
        control, loop = control_of(svm), asyncio.get_running_loop()

        def asked(number: int, tenant: str) -> asyncio.Task[None]:
            word = replace(BLOCK, reason=f"{tenant or 'provider'} {number}")
            return loop.create_task(control.set_override(digest_of(b"%d" % number), word, tenant))

        with nobody_can_write(svm.settings.server.state_dir / FILE) as release:
            gone = [asked(number, "default") for number in range(20)]
            stays = [asked(number, "default") for number in range(20, 23)]
            provider = asked(23, "")
            await asyncio.sleep(0)
            for task in gone:
                task.cancel()
            await asyncio.sleep(0)
            release()
            await asyncio.wait_for(asyncio.gather(*stays, provider), DEADLINE)
        made = [entry.reason for entry in reversed(list(control.audit(50, "")))]
        assert made == ["default 0", "default 20", "provider 23", "default 21", "default 22"]
