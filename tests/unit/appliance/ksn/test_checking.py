"""Tests of appliance/ksn/checking.py: what becomes of the question, and what is tried besides."""

import ssl
from typing import Any

import pytest

from appliance.ksn.asker import Unknown
from appliance.ksn.checking import check
from appliance.ksn.reaching import Place
from appliance.ksn.reputation import Answer, Trouble
from appliance.ksn.zones import Zone

NOBODY = Place("http://127.0.0.1:1/", None)


class Asked:
    """A Ksn whose answer the test gives."""

    def __init__(self, outcome: Answer | Unknown, left: int | None = None) -> None:
        """left: of the quota."""
        self.outcome, self.left = outcome, left
        self.asking = self.participants = self
        self.tried_now = False
        self.second: Answer | Unknown = Unknown(Trouble.BAD_QUERY, "no question")

    async def ask(self, *_question: object) -> Answer | Unknown:
        """Answer the second question."""
        return self.second

    def try_now(self) -> None:
        """The breaker."""
        self.tried_now = True

    async def look_up(self, *_question: object) -> Answer | Unknown:
        """Answer."""
        assert self.tried_now
        return self.outcome

    def allows(self, _asker: object) -> bool:
        """The gate."""
        return True

    def quota_left(self) -> int | None:
        """What the test says."""
        return self.left


KNOWN = Answer(Zone.RED, "EICAR-Test-File")


@pytest.mark.parametrize(
    ("second", "good", "said"),
    [
        (Unknown(Trouble.BAD_QUERY, "no question"), True, "not found: the service answers"),
        (Answer(Zone.NOT_FOUND), False, "no KSN service, or not the whole of its address: see ksn.endpoint"),
        (Answer(Zone.RED), False, "no KSN service"),
        (
            Unknown(Trouble.QUOTA, "it is spent"),
            False,
            "whether that is a KSN service is not known: it is sp",
        ),
    ],
)
async def test_a_service_that_does_not_know_the_digest_is_told_from_a_web_server(
    second: Answer | Unknown, good: bool, said: str
) -> None:
    """By a question about what is no digest."""
    ksn: Any = Asked(Answer(Zone.NOT_FOUND))
    ksn.second = second
    asker: Any = None
    tried = {step.what: step for step in await check(ksn, NOBODY, asker)}
    assert (tried["credentials"].good, tried["known digest"].good) == (good, good)
    assert said in tried["known digest"].said


async def steps(place: Place, outcome: Answer | Unknown = KNOWN, left: int | None = None) -> dict[str, Any]:
    """The steps by name."""
    ksn: Any = Asked(outcome, left)
    asker: Any = None
    return {step.what: step for step in await check(ksn, place, asker)}


@pytest.mark.parametrize("why", [Trouble.REFUSED, Trouble.TIMED_OUT])
async def test_no_answer_says_why(why: Trouble) -> None:
    """Credentials that are refused are told from a service that says nothing."""
    tried = await steps(NOBODY, Unknown(why, "so it is"))
    assert not tried["credentials"].good
    assert (tried["credentials"].said == "so it is") == (why is Trouble.REFUSED)
    assert (tried["known digest"].good, tried["known digest"].said) == (False, "so it is")


@pytest.mark.parametrize(("left", "good"), [(None, True), (1, True), (0, False)])
async def test_the_quota_that_is_left(left: int | None, good: bool) -> None:
    """None at all is no good."""
    tried = await steps(NOBODY, left=left)
    assert tried["quota"].good == good
    assert tried["known digest"].said == "Red, EICAR-Test-File"


@pytest.mark.parametrize("why", [Trouble.NOT_RECORDED, Trouble.WITHDRAWN])
async def test_where_nothing_may_be_sent_nothing_is(why: Trouble) -> None:
    """No name is looked up where the ledger cannot be written, or the tenant takes part no more."""
    tried = await steps(Place("https://no-such-name.invalid/", None), Unknown(why, "so it is"))
    assert [step.said for step in tried.values()][:2] == ["not tried: so it is"] * 2


@pytest.mark.parametrize("why", sorted(set(Trouble) - {Trouble.NOT_RECORDED, Trouble.WITHDRAWN}))
async def test_the_way_is_tried_whatever_became_of_the_question(why: Trouble) -> None:
    """Also while the service is left alone and where the quota is spent: the place is named."""
    tried = await steps(
        Place("https://127.0.0.1:1/", ssl.create_default_context()), Unknown(why, "so it is"), 0
    )
    assert (tried["name"].good, tried["name"].said) == (True, "127.0.0.1 is 127.0.0.1")
    assert tried["TLS"].said.startswith("no connection to 127.0.0.1:1 (")
