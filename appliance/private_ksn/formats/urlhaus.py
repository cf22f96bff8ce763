"""URLhaus's CSV, also in its ZIP: `feeds.urlhaus` reads it."""

from collections.abc import Iterator
from pathlib import Path

from appliance.feeds import urlhaus
from appliance.feeds.lines import Bad, Progress
from appliance.private_ksn.reputation import Reputation
from appliance.private_ksn.sources import Found, Words
from appliance.private_ksn.subjects import BadSubject, parse_domain, parse_url


def read(path: Path, words: Words, progress: Progress) -> Iterator[Found | Bad]:
    """Every URL, its threat as the category. Raises SourceError where no header comes before the first."""
    for listed in urlhaus.read(path, progress):
        if isinstance(listed, Bad):
            yield listed
            continue
        try:
            key = _key(listed.url)
        except ValueError as error:
            yield Bad(f"line {listed.line}", str(error))
            continue
        category = words.category or listed.threat
        yield Found((key,), Reputation(words.zone, words.threat, category, "", listed.added))


def _key(text: str) -> bytes:
    """The URL's; one without a path is that of its root, as a client would ask for it."""
    try:
        return parse_url(text).key
    except BadSubject:
        host = text.partition("://")[2]
        if not host or set(host) & set("/?#:@"):
            raise
        parse_domain(host)
        return parse_url(text + "/").key
