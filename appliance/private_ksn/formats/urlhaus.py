"""URLhaus's CSV, also in its ZIP: `feeds.urlhaus` reads it."""

from collections.abc import Iterator
from pathlib import Path

from appliance.feeds import urlhaus
from appliance.feeds.lines import Bad, Progress
from appliance.private_ksn.reputation import Reputation
from appliance.private_ksn.sources import Found, Words
from appliance.private_ksn.subjects import BadSubject, Subject, parse_web


def read(path: Path, words: Words, progress: Progress) -> Iterator[Found | Bad]:
    """Every URL, its threat as the category. Raises SourceError where no header comes before the first."""
    for listed in urlhaus.read(path, progress):
        if isinstance(listed, Bad):
            yield listed
            continue
        try:
            subject = _subject(listed.url)
        except BadSubject as error:
            yield Bad(f"line {listed.line}", str(error))
            continue
        category = words.category or listed.threat
        yield Found((subject.key,), Reputation(words.zone, words.threat, category, "", listed.added))


def _subject(url: str) -> Subject:
    if "://" not in url:  # another column than it should be, perhaps
        raise BadSubject(f"{url[:80]!r} is no URL: it has no http:// in front")
    return parse_web(url)
