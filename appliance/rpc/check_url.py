"""CheckUrl: what is known of a web address, within the bounds of one guest."""

from collections import Counter
from collections.abc import Awaitable, Callable

from lightagent.v1 import guest_pb2, verdict_pb2

from appliance.config_limits import Limits
from appliance.domain.guest import Guest
from appliance.domain.web import UrlAnswer, UrlOutcome
from appliance.rpc import wire
from appliance.rpc.calls import Breach, Refused, parser
from appliance.rpc.flood import Turns

MAX_URL_BYTES = 8192
USUAL_SECONDS = 10.0
MOST_SECONDS = 60.0

CheckUrl = Callable[[Guest, str, float], Awaitable[UrlAnswer]]


async def nobody_knows(_guest: Guest, _url: str, _budget: float) -> UrlAnswer:
    """Nothing is known of any address: this SVM has no lists and asks nobody."""
    return UrlAnswer(UrlOutcome.UNKNOWN, reason="this SVM has no lists of web addresses, and asks nobody")


class UrlQuestions:
    """The questions of all guests."""

    def __init__(self, check: CheckUrl, clock: Callable[[], float], limits: Limits) -> None:
        """check: the guest, the URL, seconds that it has; raises nothing. clock: monotonic seconds."""
        self._limits = limits
        self._check = check
        self._turns = Turns(limits.urls_per_second, clock)
        self._open: Counter[str] = Counter()

    async def answer(self, guest: Guest, said: bytes) -> guest_pb2.CheckUrlReply:
        """Answer a CheckUrlRequest. Raises CallEnded."""
        if not self._turns.takes(guest.id):
            most = self._limits.urls_per_second
            raise Refused(
                f"this guest asked about web addresses more than {most} times in a second: "
                "ask again in a moment",
                "limits.urls_per_second",
            )
        request = parser(guest_pb2.CheckUrlRequest)(said)
        size = len(request.url.encode())
        if not 0 < size <= MAX_URL_BYTES:
            raise Breach(f"url has {size} bytes: give 1 to {MAX_URL_BYTES}")
        most = self._limits.open_urls
        if self._open[guest.id] >= most:
            sentence = f"this guest has {most} web addresses open: wait for an answer"
            raise Refused(sentence, "limits.open_urls")
        self._open[guest.id] += 1
        try:
            return url_reply(await self._check(guest, request.url, _seconds(request)))
        finally:
            self._open[guest.id] -= 1
            if not self._open[guest.id]:
                del self._open[guest.id]


def url_reply(answer: UrlAnswer) -> guest_pb2.CheckUrlReply:
    """Return an answer as a message."""
    reason = answer.reason.encode(errors="replace")[: wire.MAX_REASON_BYTES].decode(errors="ignore")
    reply = guest_pb2.CheckUrlReply(
        outcome=guest_pb2.UrlOutcome.ValueType(int(answer.outcome)),
        threat=answer.threat,
        category=answer.category,
        matched=answer.matched,
        source=verdict_pb2.Source.ValueType(0 if answer.source is None else int(answer.source)),
        reason=reason,
    )
    if answer.valid_for:
        reply.valid_for.CopyFrom(wire.duration(answer.valid_for))
    return reply


def _seconds(request: guest_pb2.CheckUrlRequest) -> float:
    if not request.HasField("budget"):
        return USUAL_SECONDS
    return min(max(request.budget.seconds + request.budget.nanos / 1e9, 0.0), MOST_SECONDS)
