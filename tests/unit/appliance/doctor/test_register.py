"""Certificates of guests and administrators, of a real register."""

from contextlib import closing
from pathlib import Path

from appliance.doctor.register import (
    administrator_findings,
    clone_findings,
    guest_findings,
    read_clones,
    read_register,
)
from appliance.domain.caller import Caller, Role
from appliance.domain.event import Event, EventKind
from appliance.identity.keys import csr_for, new_key
from appliance.identity.standing import digest_of
from appliance.state.events import Entry, EventStore, EventTerms
from tests.support.identities import DAY, NOW, OF_ACME, PROVIDER, UUID, administrator_keys, asked, office

OTHER = UUID.replace("6", "7")


def test_guests_that_renew_are_well(tmp_path: Path) -> None:
    """Until five sixths of the life are over nobody is late."""
    with office(tmp_path) as made:
        made.enrolled(uuid=UUID)
    register = read_register(tmp_path)
    assert [each.good for each in guest_findings(register, set(), NOW + 24 * DAY)] == [True]


def test_guests_that_did_not_renew_are_named(tmp_path: Path) -> None:
    """One that is here has a fault; one that is away is to be known; one whose certificate ended, too."""
    with office(tmp_path) as made:
        made.enrolled(uuid=UUID)
        made.now = NOW + DAY
        made.enrolled(uuid=OTHER)
    register, then = read_register(tmp_path), NOW + 29.5 * DAY
    here, away = guest_findings(register, {UUID}, then)
    assert (here.good, away.good) == (False, None)
    assert UUID in here.said
    assert OTHER in away.said
    over = list(guest_findings(register, set(), NOW + 30.5 * DAY))
    assert [each.good for each in over] == [None, None]
    assert f"the certificates of {UUID} have ended" in over[1].said


def test_a_guest_that_renewed_is_judged_by_its_newest_certificate(tmp_path: Path) -> None:
    """Also while it has not shown that one yet."""
    with office(tmp_path) as made:
        enrolled = made.enrolled(uuid=UUID)
        made.now = NOW + 28 * DAY
        made.issuer.renew(digest_of(enrolled.certificate), asked())
    register = read_register(tmp_path)
    assert [each.good for each in guest_findings(register, {UUID}, NOW + 29 * DAY)] == [True]


def test_administrators_are_told_of_in_time(tmp_path: Path) -> None:
    """The newest certificate of each counts, and who is near the end is named."""
    with office(tmp_path) as made:
        administrator_keys(made)
        made.now = NOW + 100 * DAY
        administrator_keys(made)
        administrator_keys(made, OF_ACME)
        made.issuer.issue(Caller("host", Role.HOST_AGENT), csr_for(new_key()), PROVIDER)
    register = read_register(tmp_path)
    assert [each.good for each in administrator_findings(register, NOW + 360 * DAY)] == [True]
    found = list(administrator_findings(register, NOW + 459 * DAY))
    assert [each.good for each in found] == [False, False, False]
    assert {each.said.split()[3] for each in found} == {"anna", "host", PROVIDER.name}
    assert [each.good for each in administrator_findings(register, NOW + 440 * DAY)] == [None, None, None]


def test_copies_that_were_noticed_are_told(tmp_path: Path) -> None:
    """Within a day they are amiss, within seven to be known; events of other kinds do not count."""
    with closing(EventStore.open(tmp_path, EventTerms(), NOW)) as events:
        for at, kind, guest in (
            (NOW - 9 * DAY, EventKind.CLONE, "old"),
            (NOW - 3 * DAY, EventKind.CLONE, UUID),
            (NOW - 60, EventKind.ATTACH, OTHER),
        ):
            events.append([Entry(Event(at, kind, guest=guest))], NOW)
    clones = read_clones(tmp_path, EventTerms(), NOW - 7 * DAY)
    assert [event.guest for event in clones] == [UUID]
    (finding,) = clone_findings(clones, NOW)
    assert finding.good is None
    (finding,) = clone_findings(clones, NOW - 3 * DAY + 60)
    assert finding.good is False
    assert UUID in finding.said
    assert [each.good for each in clone_findings([], NOW)] == [True]
