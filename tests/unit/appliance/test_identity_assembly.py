"""What an SVM has after svm init."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from appliance import composition
from appliance.config_identity import IdentitySettings
from appliance.domain.caller import Caller, Role
from appliance.domain.event import EventKind
from appliance.exposure_control import GuestControl
from appliance.identity.ending import By
from appliance.identity.files import DIRECTORY, IdentityUnusable, Wanted, make
from appliance.identity.issuing import Only
from appliance.identity.keys import key_sha256, new_key
from appliance.identity.registry import Registry
from appliance.identity_assembly import told_address
from appliance.rpc.exposure_admin import GuestSeen
from appliance.state.environment import StateError
from tests.support.full_disk import full_disk
from tests.support.identities import PROVIDER, UUID, asked
from tests.support.svm import RawGuest, Svm, running_svm, until

NOW = 1_700_000_000.0
WANTED = Wanted("one", ["192.0.2.7"], days=(825, 825))


def registry_of(svm: Svm) -> Registry:
    """The register, which there is."""
    assert svm.parts.identity is not None
    return svm.parts.identity.registry


@asynccontextmanager
async def with_identity(directory: Path) -> AsyncIterator[Svm]:
    """An SVM for which svm init was run a while ago."""
    make(directory / "state", WANTED, time.time())
    async with running_svm(directory) as svm:
        yield svm


async def test_without_svm_init_there_is_no_identity(tmp_path: Path) -> None:
    """And nobody is the worse for it on a unix socket."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm):
        assert svm.parts.identity is None
        assert [guest.certificate for guest in GuestControl(svm.parts).guests("")] == [""]


async def test_the_first_administrator_is_in_the_register(tmp_path: Path) -> None:
    """Without a word of his; one that was revoked stays so when the SVM starts anew."""
    async with with_identity(tmp_path) as svm:
        pem = (tmp_path / "state" / DIRECTORY / "administrator.pem").read_bytes()
        assert registry_of(svm).caller(pem) == Caller("administrator", Role.PROVIDER)
        ((certificate, _),) = registry_of(svm).certificates()
        await registry_of(svm).revoke_certificate(certificate.sha256, By(PROVIDER, "left"))
    async with running_svm(tmp_path) as svm:
        ((certificate, _),) = registry_of(svm).certificates()
        assert certificate.ended is not None


async def test_an_identity_that_is_damaged_stops_the_start(tmp_path: Path) -> None:
    """With what is wrong."""
    make(tmp_path / "state", WANTED, NOW)
    (tmp_path / "state" / DIRECTORY / "server.key").unlink()
    with pytest.raises(IdentityUnusable, match=r"server\.key"):
        async with running_svm(tmp_path):
            pass


async def test_what_happens_to_identities_is_an_event_and_counted(tmp_path: Path) -> None:
    """Who did it, to whom; never the token."""
    async with with_identity(tmp_path) as svm:
        registry, events = registry_of(svm), svm.parts.witness.log.store
        made = await registry.token("acme", "", 60, PROVIDER)
        guest = (await registry.enrol(made.text, asked())).guest
        await registry.revoke_guest(guest.uuid, By(PROVIDER, "stolen"))

        def kept() -> list[tuple[str, str, str]]:
            found = [event for _, event in events.from_number(1, 100) if event.kind is EventKind.IDENTITY]
            return [(event.text, event.guest, event.actor) for event in found]

        await until(lambda: len(kept()) == 3, "three events are kept")
        assert kept() == [
            (f"token: {made.token.id}, for 60 s, tenant acme, which is new", "", "provider paula"),
            ("enrolled: vm", guest.uuid, ""),
            ("revoked: stolen", guest.uuid, "provider paula"),
        ]
        assert svm.parts.identity is not None
        figures = svm.parts.identity.figures()
        assert (figures["identity_tokens"], figures["identity_enrolled"], figures["identity_ended"]) == (
            1,
            1,
            1,
        )


async def test_a_machine_that_enrols_by_its_hosts_word_is_an_event(tmp_path: Path) -> None:
    """Once for each certificate, also where the answer was lost and is asked for again; of no other token."""
    key, agent = new_key(), Caller("host-1", Role.HOST_AGENT)
    only = Only(key_sha256(key.public_key()), not_revoked=True)
    async with with_identity(tmp_path) as svm:
        registry, events = registry_of(svm), svm.parts.witness.log.store

        def kept(kind: EventKind) -> list[tuple[str, str, str, str]]:
            found = [event for _, event in events.from_number(1, 100) if event.kind is kind]
            return [(event.guest, event.actor, event.tenant, event.text) for event in found]

        first = await registry.token("acme", UUID, 60, PROVIDER)
        await registry.enrol(first.text, asked())  # typed by somebody
        bound = await registry.token("acme", UUID, 60, PROVIDER, only)
        await registry.enrol(bound.text, asked(key=key))  # for a key, and by no host
        await registry.remove_guest(UUID, By(PROVIDER))
        vouched = await registry.token("acme", UUID, 60, agent, only)
        for _ in range(3):
            await registry.enrol(vouched.text, asked(key=key, host_name="web"))
        await registry.remove_guest(UUID, By(PROVIDER))
        anew = await registry.token("acme", UUID, 60, agent, only)
        await registry.enrol(anew.text, asked(key=key, host_name=""))
        enrolled = 6
        await until(
            lambda: sum("enrolled" in e[3] for e in kept(EventKind.IDENTITY)) == enrolled, "all are kept"
        )
        assert kept(EventKind.VM_ENROLLED) == [
            (UUID, "host-agent host-1", "acme", "enrolled by its host's word, as web"),
            (UUID, "host-agent host-1", "acme", "enrolled by its host's word"),
        ]


async def test_an_enrolment_that_a_kill_may_have_kept_from_the_events_is_told_when_it_is_asked_for_again(
    tmp_path: Path,
) -> None:
    """By an SVM that was started anew meanwhile, which does not know whether the first one came to it."""
    key, agent = new_key(), Caller("host-1", Role.HOST_AGENT)
    async with with_identity(tmp_path) as svm:
        await registry_of(svm).token("acme", "", 60, PROVIDER)
        only = Only(key_sha256(key.public_key()))
        token = (await registry_of(svm).token("acme", UUID, 60, agent, only)).text
        registry_of(svm).on_changed.clear()  # it is killed before the event is written
        await registry_of(svm).enrol(token, asked(key=key))
    async with running_svm(tmp_path) as svm:
        events = svm.parts.witness.log.store
        for _ in range(2):
            await registry_of(svm).enrol(token, asked(key=key))
        svm.parts.witness.stopping()  # is noted behind them
        kinds: list[EventKind] = []

        def over() -> bool:
            kinds[:] = [event.kind for _, event in events.from_number(1, 100)]
            return kinds.count(EventKind.SVM_STOP) == 1

        await until(over, "all is kept")
        assert kinds.count(EventKind.VM_ENROLLED) == 1


async def test_each_bound_has_a_counter_of_its_name(tmp_path: Path) -> None:
    """So that who reads it knows what to set; the settings that are no bounds are times."""
    async with with_identity(tmp_path) as svm:
        assert svm.parts.identity is not None
        over = {name for name in svm.parts.identity.figures() if name.startswith("identity_over_")}
    bounds = [each.name for each in fields(IdentitySettings) if not each.name.endswith("_days")]
    assert over == {f"identity_over_{name}" for name in bounds}


async def test_guests_that_enrolled_are_listed_with_their_certificates(tmp_path: Path) -> None:
    """Those that were never here as well; each once."""
    async with with_identity(tmp_path) as svm, RawGuest.connect(svm):
        registry = registry_of(svm)
        made = await registry.token("acme", "", 60, PROVIDER)
        enrolled = await registry.enrol(made.text, asked(host_name="web"))
        local, away = GuestControl(svm.parts).guests("")
        assert (local.attached, local.certificate) == (True, "")
        uuid, ends = enrolled.guest.uuid, int(enrolled.ends_at)
        assert away == GuestSeen(uuid, False, "web", 0, 0, 0, "acme", "good", ends)


async def test_who_stays_beyond_his_certificates_end_is_told(tmp_path: Path) -> None:
    """The chores look at that, twice a second."""
    async with with_identity(tmp_path) as svm:
        registry, ended = registry_of(svm), asyncio.Event()
        registry.on_ended.append(lambda _name, _why: ended.set())
        made = await registry.token("acme", "", 60, PROVIDER)
        guest = (await registry.enrol(made.text, asked())).guest
        registry._shown[Caller(guest.uuid, Role.GUEST, "acme")][guest.current] = (
            NOW  # shown when that was still to come
        )
        await asyncio.wait_for(ended.wait(), 30)


async def test_what_cannot_be_written_of_guests_stands_in_the_log_and_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guest is told to come back; whoever runs the SVM is told why, and when that is over."""
    monkeypatch.setattr(composition, "_TICK_SECONDS", 0.05)
    with capture_logs() as lines:
        async with with_identity(tmp_path) as svm:
            registry = registry_of(svm)
            made = await registry.token("acme", "", 60, PROVIDER)
            with full_disk(), pytest.raises(StateError):
                await registry.enrol(made.text, asked())
            await until(lambda: "identity problem" in events_of(lines), "the problem is told")
            await registry.enrol(made.text, asked())
            await until(lambda: "identities are written again" in events_of(lines), "its end is told")
            assert svm.parts.identity is not None
            assert svm.parts.identity.figures()["identity_unwritable"] == 1
    why = next(line["why"] for line in lines if line["event"] == "identity problem")
    assert why.endswith("see why it cannot be written")


def events_of(lines: list[Any]) -> list[str]:
    """What happened, by the log."""
    return [line["event"] for line in lines]


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("", ""),
        ("192.0.2.1:7444", "192.0.2.1:7444"),
        ("0.0.0.0:7444", "192.0.2.7:7444"),
        ("tcp:[::]:7443", "192.0.2.7:7443"),
        ("tcp:192.0.2.1:7443", "192.0.2.1:7443"),
        ("unix:/run/x:1", ""),
    ],
)
async def test_guests_are_told_where_to_go(tmp_path: Path, setting: str, told: str) -> None:
    """Where the SVM listens everywhere, by the first address that svm init was told."""
    async with with_identity(tmp_path) as svm:
        assert told_address(setting, svm.parts.identity) == told
        assert told_address(setting, None) == ""
