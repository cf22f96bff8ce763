"""Tests of appliance/ksn/web.py, over a service of the test's own."""

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.domain.guest import Guest
from appliance.domain.outcome import Source
from appliance.domain.policy import KsnType, Mode
from appliance.domain.web import Matched, UrlAnswer, UrlOutcome
from appliance.ksn.lists import UrlLists
from appliance.ksn.participation import Participants
from appliance.ksn.reputation import Answer, Call, Flip, ReputationError, Request, Trouble
from appliance.ksn.web import Clocks, Web, WebTerms, look_up
from appliance.ksn.weburl import parse_url
from appliance.ksn.zones import Zone
from tests.support.properties import patient
from tests.unit.appliance.ksn.test_network import GUEST, Network
from tests.unit.appliance.ksn.test_participation import TERMS, consent, policy

URL = "https://user:pw@www.shop.example.co.uk/a?secret=1#f"
STEPS = ["https://www.shop.example.co.uk/a", "www.shop.example.co.uk", "example.co.uk"]
HOUR = 3600.0


class Side:
    """A Web over a network of the test's own. known: zones by the value that is asked about."""

    def __init__(self, lists: UrlLists | None = None, **terms: object) -> None:
        """terms: of the provider."""
        self.network = Network(replace(TERMS, **terms))  # type: ignore[arg-type]
        self.known: dict[str, Zone] = {}
        self.category = "Category"
        self.troubles: dict[str, Trouble] = {}
        self.asked: list[str] = []
        self.network.service.ask = self.ask  # type: ignore[method-assign]
        self.web = Web(
            lists or UrlLists(),
            self.network.ksn.participants,
            self.network.ksn.asking,
            WebTerms(),
            Clocks(lambda: self.network.now, lambda: self.network.now, lambda: 0.5),
        )

    async def ask(self, request: Request, seconds: float) -> Answer:
        """The service."""
        value = "".join(value for _, value in request.fields)
        self.asked.append(value)
        if value in self.troubles:
            raise ReputationError(self.troubles[value], "it went wrong")
        zone = self.known.get(value, Zone.NOT_FOUND)
        return Answer(zone) if zone is Zone.NOT_FOUND else Answer(zone, "Threat", self.category)

    async def check(self, url: str = URL, guest: Guest = GUEST) -> UrlAnswer:
        """Ask with enough time."""
        return await self.web.check(guest, url, 10.0)


@pytest.mark.parametrize(("step", "matched"), [(0, Matched.URL), (1, Matched.HOST), (2, Matched.DOMAIN)])
async def test_steps_go_on_until_one_is_known(step: int, matched: Matched) -> None:
    """The URL, its host, its registered domain; no credentials, query or fragment in standard mode."""
    side = Side()
    side.known[STEPS[step]] = Zone.RED
    answer = await side.check()
    assert (answer.outcome, answer.matched, answer.source) == (UrlOutcome.MALICIOUS, matched, Source.KSN)
    assert (answer.threat, answer.category) == ("Threat", "Category")
    assert side.asked == STEPS[: step + 1]


@pytest.mark.parametrize(
    ("zone", "outcome"),
    [
        (Zone.YELLOW, UrlOutcome.SUSPICIOUS),
        (Zone.ORANGE, UrlOutcome.SUSPICIOUS),
        (Zone.GREEN, UrlOutcome.CLEAN),
        (Zone.GREY, UrlOutcome.UNKNOWN),
        (Zone.NOT_FOUND, UrlOutcome.UNKNOWN),
    ],
)
async def test_zones_are_outcomes(zone: Zone, outcome: UrlOutcome) -> None:
    """What decides nothing is unknown, never clean."""
    side = Side()
    side.known = dict.fromkeys(STEPS, zone)
    assert (await side.check()).outcome is outcome


@pytest.mark.parametrize("again", [False, True])
async def test_a_category_outlives_a_step_that_knows_nothing(again: bool) -> None:
    """A Grey URL keeps its category where host and domain are not found, also when all is known already."""
    side = Side()
    side.known[STEPS[0]] = Zone.GREY
    for _ in range(1 + again):
        answer = await side.check()
    assert side.asked == STEPS
    assert (answer.outcome, answer.category) == (UrlOutcome.UNKNOWN, "Category")
    assert answer.reason == "KSN says nothing for or against it"
    assert answer.valid_for == HOUR / 2


async def test_a_step_that_decides_wins_over_a_category() -> None:
    """And so does a category over none: what is Grey without one makes way."""
    side = Side()
    side.known = {STEPS[0]: Zone.GREY, STEPS[1]: Zone.RED}
    assert (await side.check()).matched is Matched.HOST
    bare = Side()
    bare.known, bare.category = {STEPS[0]: Zone.GREY}, ""
    assert (await bare.check()).reason == "KSN does not know it"


async def test_an_administrator_is_shown_the_step_that_has_a_category() -> None:
    """With what it is about."""
    side = Side()
    side.known[STEPS[0]] = Zone.GREY
    asker = side.network.ksn.participants.asker(GUEST)
    assert asker is not None
    said = await look_up(side.network.ksn.asking, asker, parse_url(URL), 1.0)
    assert isinstance(said.outcome, Answer)
    assert (said.subject.value, said.outcome.category) == (STEPS[0], "Category")


async def test_what_was_learnt_is_not_asked_again_while_it_counts() -> None:
    """Also that nobody knows it, for a shorter time."""
    side = Side()
    side.known[STEPS[1]] = Zone.RED
    assert (await side.check()).valid_for == HOUR / 2  # as long as the URL stays unknown
    assert (await side.check()).outcome is UrlOutcome.MALICIOUS
    assert len(side.asked) == 2
    side.network.now += HOUR
    await side.check()
    assert side.asked[2:] == [STEPS[0]]


async def test_who_does_not_take_part_has_the_lists_alone(tmp_path: Path) -> None:
    """And sees nothing that KSN said before, nor is anything sent for it."""
    (tmp_path / "bad.txt").write_text("listed.example.com")
    lists = UrlLists([tmp_path])
    lists.reload()
    side = Side(lists)
    side.known[STEPS[0]] = Zone.RED
    await side.check()
    side.network.ksn.participants.put(policy(decided={}))
    answer = await side.check()
    assert answer.outcome is UrlOutcome.UNKNOWN
    assert answer.reason.startswith("KSN was not asked: ")
    listed = await side.check("http://listed.example.com/x")
    assert (listed.outcome, listed.matched) == (UrlOutcome.MALICIOUS, Matched.LIST)
    assert (listed.source, listed.reason) == (Source.LIST, "it stands in bad.txt")
    assert side.asked == STEPS[:1]


@pytest.mark.parametrize("trouble", [Trouble.UNREACHABLE, Trouble.QUOTA, Trouble.REFUSED, Trouble.MALFORMED])
async def test_a_service_that_fails_is_no_error_and_not_asked_on(trouble: Trouble) -> None:
    """The address is not known, with the reason; the answer may not be kept, and nothing is remembered."""
    side = Side()
    side.troubles[STEPS[0]] = trouble
    answer = await side.check()
    assert answer == UrlAnswer(UrlOutcome.UNKNOWN, reason="KSN gave no answer: it went wrong")
    assert (side.asked, len(side.web)) == (STEPS[:1], 0)


async def test_a_subject_that_the_service_does_not_take_is_passed_over() -> None:
    """A bad query about the URL says nothing of the host."""
    side = Side()
    side.troubles[STEPS[0]] = Trouble.BAD_QUERY
    side.known[STEPS[1]] = Zone.RED
    assert (await side.check()).matched is Matched.HOST


async def test_names_of_ones_own_network_are_not_asked_of_a_global_service() -> None:
    """A private one may know them."""
    for type_, asked in ((KsnType.GLOBAL, 0), (KsnType.PRIVATE, 2)):
        side = Side(type=type_)
        side.network.ksn.participants.put(policy(decided={type_: consent(type_=type_)}))
        await side.check("http://intranet/x")
        assert len(side.asked) == asked, type_


async def test_without_time_nothing_is_asked() -> None:
    """And the steps share one slice."""
    side = Side()
    assert (await side.web.check(GUEST, URL, 0.0)).outcome is UrlOutcome.UNKNOWN
    assert side.asked == []

    async def slow(request: Request, seconds: float) -> Answer:
        side.asked.append("")
        side.network.now += 1.5
        return Answer(Zone.NOT_FOUND)

    side.network.service.ask = slow  # type: ignore[method-assign]
    answer = await side.check()
    assert len(side.asked) == 2
    assert "too little time" in answer.reason


async def test_what_the_service_takes_back_is_asked_anew() -> None:
    """A flip ends what was kept of the subject."""
    side = Side()
    side.known[STEPS[0]] = Zone.RED
    await side.check()
    side.web.flip(Flip(Call.HASH, "00" * 32, Zone.RED))
    assert len(side.web) == 1
    side.web.flip(Flip(Call.URL, STEPS[0], None))
    assert len(side.web) == 0


async def test_a_long_url_is_taken_back_by_its_digest() -> None:
    """The service keeps no more of it, and tells that; with its query string, where that was sent."""
    for mode, query in ((Mode.STANDARD, ""), (Mode.EXTENDED, "?q=1")):
        side = Side(mode_limit=Mode.EXTENDED)
        side.network.ksn.participants.put(policy(mode=mode))
        long = "http://a.example/" + "x" * 600
        side.known[long + query] = Zone.RED
        assert (await side.check(long + "?q=1")).outcome is UrlOutcome.MALICIOUS
        told = "(a long URL)", None, "", "", ""
        side.web.flip(Flip(Call.URL, *told, hashlib.sha256(b"another").hexdigest()))
        assert len(side.web) == 1
        side.web.flip(Flip(Call.URL, *told, hashlib.sha256((long + query).encode()).hexdigest()))
        assert len(side.web) == 0


async def test_a_root_with_a_query_string_is_found_in_extended_mode() -> None:
    """As a URL, which is then the first of the steps; the others go on as ever."""
    for mode, asked in ((Mode.STANDARD, 1), (Mode.EXTENDED, 2)):
        side = Side(mode_limit=Mode.EXTENDED)
        side.network.ksn.participants.put(policy(mode=mode))
        side.known["example.com"] = Zone.RED
        assert (await side.check("http://example.com/?q=1")).matched is Matched.HOST
        assert len(side.asked) == asked


async def test_the_query_string_leaves_in_extended_mode_only() -> None:
    """As the Statement says."""
    side = Side(mode_limit=Mode.EXTENDED)
    side.network.ksn.participants.put(policy(mode=Mode.EXTENDED))
    await side.check()
    assert side.asked[0] == STEPS[0] + "?secret=1"


async def test_where_ksn_is_not_enabled_nobody_is_asked() -> None:
    """There is no service; lists count all the same."""
    network = Network()
    participants: Participants = network.ksn.participants
    web = Web(UrlLists(), participants, None, WebTerms(), Clocks(lambda: 0, lambda: 0))
    assert (await web.check(GUEST, URL, 10)).outcome is UrlOutcome.UNKNOWN


async def test_no_more_is_kept_than_there_is_room_for() -> None:
    """The oldest goes."""
    side = Side()
    side.web._terms = WebTerms(kept=2)
    for number in range(5):
        side.known[f"h{number}.com"] = Zone.RED
        await side.check(f"h{number}.com")
    assert len(side.web) == 2


@given(text=st.text(max_size=80) | st.text("htp:/@?#%[]x.é\ud8001", max_size=40).map("http://".__add__))
@patient
def test_no_text_makes_it_fail(text: str) -> None:
    """Whatever a guest writes has an answer; what is no address says why."""

    async def ask() -> UrlAnswer:
        return await Side().check(text)

    answer = asyncio.run(ask())
    assert answer.outcome in {UrlOutcome.UNKNOWN, UrlOutcome.NO_URL}
    assert answer.reason
