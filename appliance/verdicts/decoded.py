"""Records and the verdicts that they are: each distinct one is checked and decoded once."""

from appliance.domain.verdict import Verdict
from appliance.verdicts.record import HOUR, DamagedRecord, decode

MOST = 4096
LONGEST_RECORD = 256  # names of threats and members are for guests to choose: long ones are not remembered


class Decoded(dict[bytes | None, Verdict | None]):
    """Verdicts by their records; None for one that is damaged or has ended, and for no record.

    Times in records are whole hours: what holds at its beginning holds for the hour, and a new one
    of these is to be made for the next. damaged: whether a damaged record was met since somebody set it.
    """

    def __init__(self, now: float) -> None:
        """now: seconds since the epoch."""
        super().__init__({None: None})
        self.hour = int(now // HOUR)
        self.damaged = False
        self._now = now

    def __missing__(self, data: bytes | None) -> Verdict | None:
        """Check and decode a record that was not met before."""
        verdict: Verdict | None
        try:
            verdict = decode(data or b"")
        except DamagedRecord:
            self.damaged = True
            return None
        if 0 < verdict.expires_at <= self._now:
            verdict = None
        if len(self) < MOST and len(data or b"") <= LONGEST_RECORD:
            self[data] = verdict
        return verdict


def is_damaged(data: bytes) -> bool:
    """Whether a record does not stand its check."""
    try:
        decode(data)
    except DamagedRecord:
        return True
    return False
