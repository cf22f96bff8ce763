"""What an earlier run sent in the last day."""

import hashlib
from typing import Any

import pytest

from appliance.domain.policy import KsnType, Mode
from appliance.ksn import spent
from appliance.ksn.asker import Asker, Disclosure, Standing
from appliance.ksn.ledger import DisclosureLedger
from appliance.ksn.quota import DAY
from appliance.ksn.reputation import Call, Part, Request, Subject
from appliance.ksn.spent import Spent, last_day
from appliance.ksn.statement import request_for, submission

NOW = 10 * DAY
ASKER = Asker(16, "acme", "vm-1", KsnType.PRIVATE, Mode.EXTENDED, 1)
QUESTION = request_for(Subject(Call.HASH, "ab" * 32), Mode.STANDARD)
CONTENT = submission(Part(hashlib.sha256(b"whole").digest(), 0, b"who"), Mode.EXTENDED)


class Written:
    """A ledger's writer that keeps what it is given, the newest first."""

    def __init__(self) -> None:
        self.newest: list[Any] = []

    def append(self, payloads: Any) -> int:
        """Keep them."""
        before = len(self.newest)
        self.newest = [*reversed(payloads), *self.newest]
        return before + 1


async def ledger_of(*requests: tuple[float, Request]) -> list[Any]:
    """What the ledger of this program has of requests, each with when it was sent and with its result."""
    writer = Written()
    for at, request in requests:
        ledger = DisclosureLedger(writer, lambda at=at: at)  # type: ignore[misc]
        ledger.after(await ledger.before(Disclosure("ksn.example", ASKER, request)), "taken")
        await ledger.flush()
    return writer.newest


async def test_the_requests_of_the_last_day_are_found_the_oldest_first() -> None:
    """With what each handed over; their results are no requests."""
    newest = await ledger_of((NOW - DAY, QUESTION), (NOW - DAY + 1, CONTENT), (NOW - 5, QUESTION))
    who = ("ksn.example", "acme", "vm-1")
    assert last_day(newest, NOW) == [
        Spent(DAY - 1, *who, "submit", hashlib.sha256(b"whole").digest(), 3),
        Spent(5.0, *who, "hash"),
    ]


async def test_what_was_written_in_the_future_counts_as_of_now() -> None:
    """A clock that is set back does not give the quota back."""
    newest = await ledger_of((NOW - 10, QUESTION), (NOW + 3 * DAY, QUESTION))
    assert [each.age for each in last_day(newest, NOW)] == [10, 0]


async def test_no_more_entries_are_read_than_a_start_has_time_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three requests and their results the newest two entries are one of each."""
    monkeypatch.setattr(spent, "MOST_ENTRIES", 2)
    newest = await ledger_of((NOW - 3, QUESTION), (NOW - 2, QUESTION), (NOW - 1, QUESTION))
    assert [each.age for each in last_day(newest, NOW)] == [1]


def test_it_is_told_whose_share_a_request_took() -> None:
    """As far as the ledger has it: that of the user, of what is handed over, or of the house."""
    calls = ("hash", "submit", "statistics", "changes")
    requests = [Spent(1.0, "ksn.example", "acme", "uid-7.pid-1.fd-2", call) for call in calls]
    scopes = {"acme": 16}
    asked = Asker(16, "acme", "uid-7.pid-9.fd-1", KsnType.PRIVATE, Mode.STANDARD, 1)
    assert [request.payer(scopes) for request in requests[:3]] == [
        asked.payer,
        Standing.CONTENT,
        Standing.HOUSE,
    ]
    assert [request.counts_for("ksn.example") for request in requests] == [True, True, True, False]
    assert not requests[0].counts_for("another.example")


SAID = {"submitted digest": "ab" * 32, "content": "offset 0, length 3"}


@pytest.mark.parametrize(
    "fields",
    [
        {"submitted digest": "ab" * 32},
        SAID | {"submitted digest": "ab"},
        SAID | {"submitted digest": "no digits"},
        SAID | {"content": "length -3"},
        SAID | {"content": "length " + "9" * 5000},
        SAID | {"content": 3},
        list(SAID),
        "fields",
        None,
    ],
)
def test_a_submission_that_does_not_say_what_it_was_is_not_passed_over(fields: object) -> None:
    """It may have been the whole budget. One without any fields was a KeyError."""
    entry: dict[str, Any] = {"kind": "request", "at": NOW, "call": "submit"}
    assert last_day([entry | {"fields": SAID}], NOW)[0].length == 3
    with pytest.raises(ValueError, match=r"submission|fromhex|integer string"):
        last_day([entry | {"fields": fields}], NOW)
    with pytest.raises(ValueError, match="a submission has no fields"):
        last_day([entry], NOW)
