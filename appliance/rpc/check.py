"""The Check stream of one guest: batches of digests in, outcomes out as each becomes known."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable

from google.protobuf.duration_pb2 import Duration
from lightagent.v1 import guest_pb2, verdict_pb2

from appliance.domain.digest import DIGEST_BYTES
from appliance.domain.outcome import Open, Unanswered
from appliance.domain.verdict import Answer, NoAnswer, Verdict
from appliance.protection import MISS, Protection
from appliance.rpc import wire
from appliance.rpc.calls import Breach, Refused, converse
from appliance.rpc.identity import Context
from appliance.rpc.outbox import Outbox
from appliance.rpc.sessions import Session, Sessions
from appliance.rpc.share import Pace
from appliance.rpc.terms import Terms

_MOST_SETTLED = 1024  # entries of one late reply
# Answers that become known within so many seconds share a message, which costs both sides some 100 us. What
# the cache knows is answered at once.
_LINGER_OF_FEW, _LINGER_OF_MANY = 0.005, 0.05
_DIGESTS_OF_A_MESSAGE = 1024  # so many more count as a message more, under limits.messages_per_second
_MANY_QUESTIONS = 64  # open: somebody scans a tree
_PURPOSES = {verdict_pb2.PURPOSE_ON_ACCESS, verdict_pb2.PURPOSE_ON_DEMAND}
_TIMED_OUT = NoAnswer(Unanswered.TIMED_OUT, "the budget of the request is spent")
_STOPPING = NoAnswer(Unanswered.OVERLOADED, "the SVM stops: ask again when it is back")
_TOO_MANY = NoAnswer(Unanswered.OVERLOADED, "too many questions of this guest are open: wait for answers")
_OPEN_CODES = (int(Open.CONTENT_NEEDED), int(Open.PENDING))

Late = tuple[int, int, Answer | int]  # request, index, and the answer or a lease to send the content under


class CheckCall:
    """One Check stream, and its guest's open questions: a Waiter of the single flight."""

    def __init__(self, context: Context, session: Session, protection: Protection, terms: Terms) -> None:
        """session: the guest's, open for as long as the call."""
        self._context = context
        self._session = session
        self._protection = protection
        self._limits = terms.limits
        self._valid_for = terms.valid_for
        self._outbox: Outbox[Late] = Outbox(self._send_late, _MOST_SETTLED, self._linger)
        self._writing = asyncio.Lock()
        self._next_token = 1
        self._questions: dict[int, tuple[int, int, bytes]] = {}  # token -> request, index, digest
        self._tokens: dict[int, set[int]] = {}  # request -> its open tokens
        self._timers: dict[int, asyncio.TimerHandle] = {}

    async def run(self, sessions: Sessions) -> None:
        """Serve the stream to its end."""
        try:
            await converse(
                self._read(sessions),
                self._outbox,
                lambda: self._finish(sessions),
                self._session,
                self._writing,
            )
        finally:
            self._session.share.open_digests[self._session.is_daemon] -= len(self._questions)
            self._protection.flights.leave(self, None)
            for timer in self._timers.values():
                timer.cancel()

    # -- questions ---------------------------------------------------------------------------

    async def _read(self, sessions: Sessions) -> None:
        share = self._session.share
        if share.questions is None:
            clock = asyncio.get_running_loop().time
            share.questions = Pace(self._limits.messages_per_second, clock)
        pace = share.questions
        while True:
            request = await self._context.read()
            if not isinstance(request, guest_pb2.CheckRequest):
                return  # the guest has asked its last
            cost = 1 + len(request.sha256) / _DIGESTS_OF_A_MESSAGE
            await sessions.paced(self._session, pace, cost, "limits.messages_per_second")
            reply = self._answer(request)
            async with self._writing:
                await self._context.write(reply)

    def _answer(self, request: guest_pb2.CheckRequest) -> guest_pb2.CheckReply:
        """The first reply to a request: what is known, and an open question for each digest that is not."""
        digests = self._checked_digests(request)
        known = self._protection.known(self._session.guest, digests)
        details = {index: wire.verdict_detail(index, verdict) for index, verdict in known.notable.items()}
        for index, verdict in known.notable.items():
            if verdict.disposition.is_detection:
                self._protection.told(self._session.guest, digests[index], verdict)
        self._session.digests_asked += len(digests)
        outcomes = known.outcomes
        if known.misses:
            _check_lengths(digests)
            self._open_questions(request, digests, outcomes, details)
        if self._session.share.gatherer is not None:
            self._session.share.gatherer.add(digests)
        return guest_pb2.CheckReply(
            request_id=request.request_id,
            outcomes=outcomes,  # type: ignore[arg-type]  # numbers of Outcome, by Protection's promise
            details=[details[index] for index in sorted(details)] if details else None,
            generation=self._protection.told_generation(),
            valid_for=self._keep_for(known.notable.values()) if known.notable else self._valid_for,
        )

    def _keep_for(self, answers: Iterable[Answer]) -> Duration:
        """How long a guest may keep the answers: not beyond the end of an override among them."""
        end = self._protection.overrides.first_end(answers)
        return self._valid_for if end is None else wire.duration(min(end, self._valid_for.seconds))

    def _checked_digests(self, request: guest_pb2.CheckRequest) -> list[bytes]:
        """The request's digests; raises Breach or Refused where the request breaks a rule."""
        if request.request_id == 0 or request.request_id in self._tokens:
            raise Breach(f"request_id {request.request_id} is zero or still open: count upwards from 1")
        if request.purpose not in _PURPOSES:
            raise Breach(f"purpose {request.purpose} is none that this SVM knows: say ON_ACCESS or ON_DEMAND")
        digests = list(request.sha256)
        if not 0 < len(digests) <= self._limits.max_batch:
            raise Breach(f"{len(digests)} digests in one request: send 1 to {self._limits.max_batch}")
        if len(self._tokens) >= self._limits.open_checks:
            raise Refused(f"{len(self._tokens)} requests are open: wait for answers before you ask more")
        return digests

    def _open_questions(
        self,
        request: guest_pb2.CheckRequest,
        digests: list[bytes],
        outcomes: list[int],
        details: dict[int, verdict_pb2.Detail],
    ) -> None:
        """Join the flight of each digest that is unknown; writes its open outcome over the MISS."""
        tokens = self._tokens[request.request_id] = set()
        budget = self._budget(request)
        opened, is_daemon = self._session.share.open_digests, self._session.is_daemon
        for index, outcome in enumerate(outcomes):
            if outcome != MISS:
                continue
            if opened[is_daemon] >= self._limits.open_digests:
                outcomes[index] = int(_TOO_MANY.why)
                details[index] = verdict_pb2.Detail(index=index, reason=_TOO_MANY.reason)
                continue
            token = self._next_token
            self._next_token += 1
            self._questions[token] = (request.request_id, index, digests[index])
            tokens.add(token)
            opened[is_daemon] += 1
            lease = self._protection.ask(self._session.guest, digests[index], self, token, budget)
            if request.purpose == verdict_pb2.PURPOSE_ON_ACCESS:
                self._protection.hurry(self._session.guest, digests[index])
            outcomes[index] = int(Open.PENDING if lease is None else Open.CONTENT_NEEDED)
            if lease is not None:
                details[index] = wire.lease_detail(index, lease)
        if tokens:
            self._timers[request.request_id] = asyncio.get_running_loop().call_later(
                budget, self._time_out, request.request_id
            )
        else:
            del self._tokens[request.request_id]

    def _budget(self, request: guest_pb2.CheckRequest) -> float:
        """How many seconds a request may take."""
        # From the fields: a Duration of a hostile guest need not fit into a timedelta.
        budget = min(request.budget.seconds + request.budget.nanos / 1e9, self._limits.budget_seconds)
        return budget if budget > 0 else self._limits.budget_seconds

    # -- answers, as a Waiter of the single flight ------------------------------------------------

    @property
    def guest_id(self) -> str:
        """Whose questions these are."""
        return self._session.guest.id

    def content_needed(self, token: int, lease: int) -> None:
        """The guest that was sending is gone: ask this one."""
        if token in self._questions:
            self._outbox.put((*self._questions[token][:2], lease))

    def settled(self, token: int, answer: Answer) -> None:
        """The question is answered."""
        question = self._questions.pop(token, None)
        if question is None:
            return
        request_id, index, digest = question
        if isinstance(answer, Verdict) and answer.disposition.is_detection:
            self._protection.told(self._session.guest, digest, answer)
        self._session.share.open_digests[self._session.is_daemon] -= 1
        tokens = self._tokens[request_id]
        tokens.discard(token)
        if not tokens:
            del self._tokens[request_id]
            self._timers.pop(request_id).cancel()
        self._outbox.put((request_id, index, answer))

    def _time_out(self, request_id: int) -> None:
        tokens = sorted(self._tokens[request_id])
        self._protection.flights.leave(self, tokens)
        for token in tokens:
            self.settled(token, _TIMED_OUT)

    async def _finish(self, sessions: Sessions) -> None:
        """Wait for the open questions when the SVM stops; a guest that went away has none."""
        if not sessions.stopping:
            return
        # Content that nobody has sent yet will not come any more: only running scans are awaited.
        await self._protection.finish_scans()
        for request_id in list(self._tokens):
            for token in sorted(self._tokens[request_id]):
                self.settled(token, _STOPPING)

    def _linger(self) -> float:
        """How long an answer may wait for others: a process may wait for it, where few are open."""
        if not self._questions:
            return 0.0
        return _LINGER_OF_MANY if len(self._questions) > _MANY_QUESTIONS else _LINGER_OF_FEW

    async def _send_late(self, late: list[Late]) -> None:
        by_request: defaultdict[int, list[verdict_pb2.Settled]] = defaultdict(list)
        generation = self._protection.told_generation()
        valid_for = self._keep_for(word for _, _, word in late if not isinstance(word, int))
        for request_id, index, word in late:
            if isinstance(word, int):
                entry = wire.asked_for_content(index, word)
            else:
                entry = wire.settled(index, word, self._protection.told_generation)
            by_request[request_id].append(entry)
        for request_id, entries in by_request.items():
            reply = guest_pb2.CheckReply(
                request_id=request_id,
                settled=entries,
                generation=generation,
                valid_for=valid_for,
            )
            async with self._writing:
                await self._context.write(reply)


def _check_lengths(digests: list[bytes]) -> None:
    """Raise Breach for a digest of a wrong length. Only a MISS can be one: no key of the cache is."""
    for digest in digests:
        if len(digest) != DIGEST_BYTES:
            raise Breach(f"a digest of {len(digest)} bytes: send the {DIGEST_BYTES} bytes of a SHA-256")
