"""Goes through the verdicts of a scope."""

from pathlib import Path

from appliance.domain.outcome import Disposition, Source
from appliance.domain.verdict import Verdict
from appliance.verdicts.store import VerdictStore
from tests.unit.appliance.verdicts.test_store import opened

GOOD = Verdict(Disposition.NOT_DETECTED, Source.ENGINE, 1, 0)
ENDED = Verdict(Disposition.CLEAN, Source.KSN, 0, 0, expires_at=3600)
DIGESTS = [bytes([number]) * 32 for number in range(1, 8)]


def gone_through(store: VerdictStore, scope: int, count: int) -> list[list[bytes]]:
    """The digests of each page."""
    pages, start = [], b""
    while True:
        found, following = store.page(scope, start, count)
        pages.append([digest for digest, _ in found])
        if following is None:
            return pages
        start = following


def test_each_verdict_of_a_scope_comes_once_and_no_others(tmp_path: Path) -> None:
    """In the order of digests, so many at a time; those that have ended are left out."""
    with opened(tmp_path) as store:
        assert store.page(16, b"", 3) == ([], None)
        for scope in (15, 16, 17):
            for digest in DIGESTS:
                store.put(scope, digest, GOOD)
        store.put(16, DIGESTS[1], ENDED)
        store.flush()
        assert gone_through(store, 16, 3) == [[DIGESTS[0], DIGESTS[2]], DIGESTS[3:6], DIGESTS[6:]]
        assert gone_through(store, 16, 7) == [[DIGESTS[0], *DIGESTS[2:]]]
        assert store.page(16, DIGESTS[6], 1) == ([(DIGESTS[6], GOOD)], None)
