"""After which events machines are cut off."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
from lightagent.v1 import events_pb2
from structlog.testing import capture_logs

from appliance.domain.event import Event, EventKind
from appliance.hypervisor.changes import VmSeen
from appliance.hypervisor.isolation.policy import IsolationPolicy, concerned, reason_in
from appliance.hypervisor.isolation.records import Records
from appliance.hypervisor.isolation.wanted import Wanted
from appliance.hypervisor.serving import Serving
from appliance.hypervisor.settings import IsolationSettings
from appliance.hypervisor.virt.domains import vm_of
from appliance.hypervisor.vm import Marks
from tests.support.commands import NOON
from tests.support.events_side_server import EventsSide, events_side
from tests.support.host_serving import at_work, serving_over
from tests.support.machines import DB, WEB
from tests.support.svm import until
from tests.support.virt_test_host import UUID

SAID = events_pb2.SaidByGuest(number=1)


def event(kind: str, text: str = "", **fields: object) -> events_pb2.Event:
    """One of the SVM."""
    return events_pb2.Event(number=7, kind=kind, text=text, threat="Worm", guest="u", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("happened", "on", "reason"),
    [
        (event("detection", "malicious, by clamd"), ("malicious",), "malicious Worm (event 7)"),
        (event("detection", "suspicious, by clamd"), ("malicious",), ""),
        (
            event("detection", "suspicious, by clamd"),
            ("malicious", "suspicious"),
            "suspicious Worm (event 7)",
        ),
        (event("detection", "malicious, by clamd", said=SAID), ("malicious",), ""),
        (event("detection", "malicious", said=SAID), ("malicious",), ""),
        (event("outbreak"), ("outbreak",), "outbreak Worm (event 7)"),
        (event("outbreak"), ("malicious", "clone"), ""),
        (event("clone"), ("clone",), "clone Worm (event 7)"),
        (event("attach"), ("malicious", "suspicious", "outbreak", "clone"), ""),
        (event("detection", "malicious, by clamd"), (), ""),
    ],
)
def test_what_the_settings_name_is_a_reason(
    happened: events_pb2.Event, on: tuple[str, ...], reason: str
) -> None:
    """By the SVM's word, never by a guest's alone."""
    assert reason_in(happened, on) == reason


def test_whom_an_event_concerns() -> None:
    """Its guest, or all that an outbreak names."""
    assert concerned(event("detection")) == ["u"]
    assert concerned(events_pb2.Event(kind="outbreak", guests=["a", "b"])) == ["a", "b"]


@pytest.fixture
def side(tmp_path: Path) -> Iterator[EventsSide]:
    """An SVM with events."""
    with events_side(tmp_path) as running:
        yield running


def found(uuid: str) -> Event:
    """The SVM found something in a guest."""
    return Event(NOON, EventKind.DETECTION, uuid, b"d" * 32, "Worm", "malicious, by clamd")


def with_policy(serving: Serving, **more: int) -> Serving:
    """The same with machines that are cut off after a detection."""
    isolation = IsolationSettings(on=("malicious",), **more)  # type: ignore[arg-type]
    return replace(serving, settings=replace(serving.settings, isolation=isolation))


def position(serving: Serving) -> str:
    """What is kept of how far events were heard."""
    path = serving.settings.state_dir / "position.json"
    return path.read_text() if path.exists() else ""


async def test_what_was_before_is_left_alone_and_the_rest_is_not_missed(
    side: EventsSide, tmp_path: Path
) -> None:
    """A machine that is not known yet waits for its host; one that no host has is forgotten."""
    side.keep(found(UUID))
    async with serving_over(tmp_path, side.path) as (plain, line):
        serving = with_policy(plain)
        state = serving.settings.state_dir
        async with at_work(IsolationPolicy(serving)):
            await until(lambda: position(serving) == '{"after": 1}', "it begins after what was before")
        side.keep(found(UUID), found(DB))  # while nobody hears
        with patch("appliance.hypervisor.isolation.policy.AGAIN_SECONDS", 0.05):
            async with at_work(IsolationPolicy(serving)):
                await until(lambda: position(serving) == '{"after": 3}', "it is heard")
                assert list(Wanted(state).all()) == [UUID, DB]
                assert Records(state).uuids() == frozenset()
                vm = await line.ask(lambda host: vm_of(host, UUID))
                assert vm is not None
                serving.changes.publish(VmSeen(line.uri, vm))
                await until(lambda: Records(state).uuids() == {UUID}, "it is cut off")
                await until(lambda: list(Wanted(state).all()) == [DB], "it is wanted no more")
                line.listed = True
                await until(lambda: not Wanted(state).all(), "what no host has is forgotten")
        record = Records(state).get(UUID)
        assert record is not None
        assert (record.reason, record.by) == ("malicious Worm (event 2)", "policy")


async def test_a_false_alarm_takes_not_everything_away(side: EventsSide, tmp_path: Path) -> None:
    """So many are cut off within an hour, and the next is left alone; as is an SVM."""
    async with serving_over(tmp_path, side.path) as (plain, line):
        serving = with_policy(plain, at_most_per_hour=1)
        line.listed = True
        vm = await line.ask(lambda host: vm_of(host, UUID))
        assert vm is not None
        svm = replace(vm, uuid=WEB, name="svm", marks=Marks(svm=True))
        for each in (vm, svm, replace(vm, uuid=DB, name="db")):
            serving.changes.publish(VmSeen(line.uri, each))
        with capture_logs() as logs:
            async with at_work(IsolationPolicy(serving)):
                await until(lambda: bool(position(serving)), "it hears")
                side.keep(found(WEB), found(UUID), found(DB))
                left = "machine is left alone"
                await until(lambda: [each["event"] for each in logs].count(left) == 2, "both are left alone")
        assert Records(serving.settings.state_dir).uuids() == {UUID}
        assert [each["machine"] for each in logs if each["event"] == left] == ["svm", "db"]


async def test_where_nothing_is_named_nothing_is_heard(side: EventsSide, tmp_path: Path) -> None:
    """As it is by default."""
    side.keep(found(UUID))
    async with serving_over(tmp_path, side.path) as (serving, _), at_work(IsolationPolicy(serving)):
        await asyncio.sleep(0)
        assert side.service.places.taken == 0
        assert position(serving) == ""
