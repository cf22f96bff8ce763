"""Plain lists: a digest, URL, domain or IP address a line, and a name behind it if there is one."""

from collections.abc import Iterator
from pathlib import Path

from appliance.feeds.lines import Bad, Progress, lines
from appliance.private_ksn.reputation import Reputation, Zone
from appliance.private_ksn.sources import Found, Words
from appliance.private_ksn.subjects import BadSubject, parse_any, parse_hash


def read(path: Path, words: Words, progress: Progress) -> Iterator[Found | Bad]:
    """Every line but empty ones and those that begin with "#".

    The name is what a detection is called in the zones of harm, and a program's name in the others.
    """
    harmful = words.zone >= Zone.YELLOW
    unnamed = Reputation(words.zone, words.threat, words.category)
    for number, line in lines(path, progress):
        if isinstance(line, Bad):
            yield line
            continue
        if not line or line.startswith("#"):
            continue
        text, *rest = line.split(maxsplit=1)
        try:
            # Nearly every line is a SHA-256, which need not be guessed at.
            subject = parse_hash(text) if len(text) == 64 else parse_any(text)
        except BadSubject as error:
            yield Bad(f"line {number}", str(error))
            continue
        if rest:
            name = rest[0]
            threat, called = (name, "") if harmful else (words.threat, name)
            yield Found((subject.key,), Reputation(words.zone, threat, words.category, called))
        else:
            yield Found((subject.key,), unnamed)
