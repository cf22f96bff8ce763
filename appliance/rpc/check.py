"""The Check stream of one guest: batches of digests in, outcomes out as each becomes known."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from itertools import islice

from google.protobuf.duration_pb2 import Duration
from lightagent.v1 import guest_pb2, verdict_pb2

from appliance.domain.digest import DIGEST_BYTES
from appliance.domain.outcome import Open, Unanswered
from appliance.domain.verdict import Answer, Known, NoAnswer, Verdict
from appliance.protection import MISS, Protection
from appliance.rpc import wire
from appliance.rpc.calls import Breach, Refused, converse
from appliance.rpc.identity import Context
from appliance.rpc.outbox import Outbox
from appliance.rpc.sessions import Session, Sessions
from appliance.rpc.tenants import Tenant
from appliance.rpc.terms import Terms
from appliance.rpc.voice import Voice

_MOST_SETTLED = 64  # entries of one late reply
_AT_ONCE = 8  # digests that are opened or closed before others have their turn
_DETAILS_AT_ONCE = 128
_LOOKED_UP_AT_ONCE = 128  # the same for looking them up, where there are others
# Under limits.digests_per_second: what a message costs beside its digests, and a digest that is not known
# beside one that is.
_MESSAGE_COSTS, _UNKNOWN_COSTS = 64, 31
_OPENING = 0  # no token: a request of which not every digest is open yet
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

    _sessions: Sessions
    _tenant: Tenant

    def __init__(self, context: Context, session: Session, protection: Protection, terms: Terms) -> None:
        """session: the guest's, open for as long as the call."""
        self._context = context
        self._session = session
        self._protection = protection
        self._limits = terms.limits
        self._valid_for = terms.valid_for
        self._outbox: Outbox[Late] = Outbox(self._send_late, _MOST_SETTLED, self._linger)
        self._voice = Voice(context, terms.limits.reader_stall_seconds)
        self._next_token = 1
        self._questions: dict[int, tuple[int, int, bytes]] = {}  # token -> request, index, digest
        self._tokens: dict[int, set[int]] = {}  # request -> its open tokens
        self._timers: dict[int, asyncio.Handle] = {}
        self._over = False

    async def run(self, sessions: Sessions) -> None:
        """Serve the stream to its end."""
        self._sessions, self._tenant = sessions, sessions.tenant(self._session.guest)
        try:
            await converse(
                self._read(sessions),
                self._outbox,
                lambda: self._finish(sessions),
                self._session,
                self._voice.writing,
            )
        finally:
            self._over = True
            self._voice.close()
            for timer in self._timers.values():
                timer.cancel()
            self._tenant.open_checks -= len(self._tokens)
            self._tokens.clear()
            self._leave()

    def _leave(self) -> None:
        """Close what is open when the stream is over, some at a time: there may be thousands."""
        some = list(islice(self._questions, _AT_ONCE))
        self._protection.flights.leave(self, some)
        for token in some:
            del self._questions[token]
        self._count(-len(some))
        if self._questions:
            asyncio.get_running_loop().call_soon(self._leave)

    def _count(self, digests: int) -> None:
        """Enter so many more open digests."""
        self._session.share.open_digests[self._session.is_daemon] += digests
        self._tenant.open_digests += digests

    # -- questions ---------------------------------------------------------------------------

    async def _read(self, sessions: Sessions) -> None:
        session, share = self._session, self._session.share
        while True:
            request = await self._context.read()
            if not isinstance(request, guest_pb2.CheckRequest):
                return  # the guest has asked its last
            asked = len(request.sha256)
            await sessions.keep_pace(session, "messages_per_second", 1 + asked / _DIGESTS_OF_A_MESSAGE)
            sessions.company.note(session.guest.owner)
            cost, share.owed = _MESSAGE_COSTS + asked + share.owed, 0
            if sessions.company.of_guest(session.guest.id):  # alone it has no pace
                await sessions.keep_pace(session, "digests_per_second", cost)
            async with self._voice.writing:  # before its first reply nothing else is said of a request
                await self._voice.go_on(await self._answer(request))

    async def _answer(self, request: guest_pb2.CheckRequest) -> guest_pb2.CheckReply:
        """The first reply to a request: what is known, and an open question for each digest that is not."""
        digests = self._checked_digests(request)
        # Others have their turn meanwhile. What is said counts in the generation that it was begun in.
        generation, voided = self._protection.told_generation(), self._session.voided
        if len(digests) <= _LOOKED_UP_AT_ONCE:
            known = self._protection.known(self._session.guest, digests)
        else:
            known = await self._known(digests)
        details = {index: wire.verdict_detail(index, verdict) for index, verdict in known.notable.items()}
        for index, verdict in known.notable.items():
            if verdict.disposition.is_detection:
                self._protection.told(self._session.guest, digests[index], verdict)
        self._session.digests_asked += len(digests)
        outcomes = known.outcomes
        if known.misses:
            _check_lengths(digests)
            self._session.share.owed += _UNKNOWN_COSTS * known.misses
            await self._open_questions(request, digests, outcomes, details)
        if self._session.share.gatherer is not None:
            self._session.share.gatherer.add(digests)
        reply = guest_pb2.CheckReply(
            request_id=request.request_id,
            generation=generation,
            valid_for=self._keep_for(known.notable.values()) if known.notable else self._valid_for,
        )
        in_order = sorted(details)
        for first in range(0, len(in_order), _DETAILS_AT_ONCE):
            if first:
                await asyncio.sleep(0)
            reply.details.extend(details[index] for index in in_order[first : first + _DETAILS_AT_ONCE])
        if self._session.voided != voided:
            self._look_again(digests, outcomes)
        reply.outcomes.extend(outcomes)  # type: ignore[arg-type]  # numbers of Outcome, by Protection's promise
        return reply

    def _look_again(self, digests: list[bytes], outcomes: list[int]) -> None:
        """Answers were called void while these were looked up: the guest is to ask anew about those."""
        again = self._protection.known_by_now(self._session.guest, digests).outcomes
        for index, (before, now) in enumerate(zip(outcomes, again, strict=True)):
            if before != now and before not in _OPEN_CODES:
                outcomes[index] = int(_TOO_MANY.why)

    async def _known(self, digests: list[bytes]) -> Known:
        """What the cache says; others have their turn meanwhile, where there are any."""
        guest = self._session.guest
        step = _LOOKED_UP_AT_ONCE if self._sessions.company.of_guest(guest.id) else len(digests)
        known = self._protection.known(guest, digests[:step])
        for first in range(step, len(digests), step):
            await asyncio.sleep(0)
            more = self._protection.known(guest, digests[first : first + step])
            notable = {first + index: verdict for index, verdict in more.notable.items()}
            outcomes = known.outcomes + more.outcomes
            known = Known(outcomes, known.misses + more.misses, known.notable | notable)
        return known

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
            raise Refused(
                f"{len(self._tokens)} requests are open: wait for answers before you ask more",
                "limits.open_checks",
            )
        if self._tenant.open_checks >= self._limits.tenant.open_checks:
            raise Refused(
                f"{self._tenant.open_checks} requests of this tenant's guests are open: ask again later",
                "limits.tenant.open_checks",
            )
        return digests

    async def _open_questions(
        self,
        request: guest_pb2.CheckRequest,
        digests: list[bytes],
        outcomes: list[int],
        details: dict[int, verdict_pb2.Detail],
    ) -> None:
        """Join the flight of each digest that is unknown; writes its open outcome over the MISS."""
        tokens = self._tokens[request.request_id] = {_OPENING}
        self._tenant.open_checks += 1
        budget, refused = self._budget(request), False
        misses = [at for at, outcome in enumerate(outcomes) if outcome == MISS]
        for number, index in enumerate(misses):
            if number and number % _AT_ONCE == 0:
                await asyncio.sleep(0)
            if number % _AT_ONCE == 0 and len(digests) > 1:
                self._take_known(misses[number : number + _AT_ONCE], digests, outcomes, details)
            if outcomes[index] != MISS:
                continue
            if self._has_too_many():
                outcomes[index] = int(_TOO_MANY.why)
                if not refused:  # once is enough to be understood
                    details[index] = verdict_pb2.Detail(index=index, reason=_TOO_MANY.reason)
                refused = True
                continue
            token = self._next_token
            self._next_token += 1
            self._questions[token] = (request.request_id, index, digests[index])
            tokens.add(token)
            self._count(1)
            lease = self._protection.ask(self._session.guest, digests[index], self, token, budget)
            if request.purpose == verdict_pb2.PURPOSE_ON_ACCESS:
                self._protection.hurry(self._session.guest, digests[index])
            outcomes[index] = int(Open.PENDING if lease is None else Open.CONTENT_NEEDED)
            if lease is not None:
                details[index] = wire.lease_detail(index, lease)
        self._timers[request.request_id] = asyncio.get_running_loop().call_later(
            budget, self._time_out, request.request_id
        )
        self._close(request.request_id, _OPENING)

    def _take_known(
        self,
        misses: list[int],
        digests: list[bytes],
        outcomes: list[int],
        details: dict[int, verdict_pb2.Detail],
    ) -> None:
        """Answer what became known since it was looked up: its flight is over, another would scan anew."""
        now = self._protection.known_by_now(self._session.guest, [digests[index] for index in misses])
        for place, index in enumerate(misses):
            outcomes[index] = now.outcomes[place]
            if (verdict := now.notable.get(place)) is not None:
                details[index] = wire.verdict_detail(index, verdict)
                if verdict.disposition.is_detection:
                    self._protection.told(self._session.guest, digests[index], verdict)

    def _has_too_many(self) -> bool:
        """Whether no further digest may be opened, which is counted."""
        if self._session.share.open_digests[self._session.is_daemon] >= self._limits.open_digests:
            self._sessions.over("limits.open_digests")
            return True
        if self._tenant.open_digests >= self._limits.tenant.open_digests:
            self._sessions.over("limits.tenant.open_digests")
            return True
        return False

    def _close(self, request_id: int, token: int) -> None:
        """One digest of a request is open no more; with its last the request is over."""
        tokens = self._tokens[request_id]
        tokens.discard(token)
        if not tokens:
            del self._tokens[request_id]
            self._tenant.open_checks -= 1
            if (timer := self._timers.pop(request_id, None)) is not None:
                timer.cancel()

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
        if token in self._questions and not self._over:
            self._outbox.put((*self._questions[token][:2], lease))

    def settled(self, token: int, answer: Answer) -> None:
        """The question is answered."""
        question = self._questions.pop(token, None)
        if question is None:
            return
        self._count(-1)
        if self._over:
            return
        request_id, index, digest = question
        if isinstance(answer, Verdict) and answer.disposition.is_detection:
            self._protection.told(self._session.guest, digest, answer)
        self._close(request_id, token)
        self._outbox.put((request_id, index, answer))

    def _time_out(self, request_id: int) -> None:
        tokens = sorted(self._tokens[request_id])[:_AT_ONCE]
        self._protection.flights.leave(self, tokens)
        for token in tokens:
            self.settled(token, _TIMED_OUT)
        if request_id in self._tokens:
            self._timers[request_id] = asyncio.get_running_loop().call_soon(self._time_out, request_id)

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
            await self._voice.say(reply)


def _check_lengths(digests: list[bytes]) -> None:
    """Raise Breach for a digest of a wrong length. Only a MISS can be one: no key of the cache is."""
    for digest in digests:
        if len(digest) != DIGEST_BYTES:
            raise Breach(f"a digest of {len(digest)} bytes: send the {DIGEST_BYTES} bytes of a SHA-256")
