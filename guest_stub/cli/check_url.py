"""`guest-stub check-url`: what is known of web addresses, one line for each."""

import json
from collections.abc import Callable, Sequence

from guest_stub.cli.setup import Setup
from guest_stub.console import printable
from guest_stub.svm_link.check_url import ask_urls
from guest_stub.svm_link.values import UrlAnswer

SECONDS = 10.0  # for each
_FOUND = {"malicious", "suspicious"}
_NO_ERROR = {"clean", "unknown"}


async def check_url(setup: Setup, urls: Sequence[str], as_json: bool, say: Callable[[str], None]) -> int:
    """Say a line for each; 1 where one is found, else 2 where one is no address, else 0.

    Raises SvmUnreachable where an answer does not come.
    """
    outcomes: set[str] = set()

    def told(url: str, answer: UrlAnswer) -> None:
        outcomes.add(answer.outcome)
        say(_json(url, answer) if as_json else _line(url, answer))

    await ask_urls(setup.target, urls, SECONDS, told)
    if outcomes & _FOUND:
        return 1
    return 0 if outcomes <= _NO_ERROR else 2


def _line(url: str, answer: UrlAnswer) -> str:
    """The address, what it is, and in brackets what more there is to say."""
    more = [answer.threat, answer.category]
    if answer.matched:
        by = "a list" if answer.matched == "list" else f"its {answer.matched}"
        more.append(f"known by {by}")
    more.append(answer.reason)
    said = "; ".join(filter(None, more))
    return printable(f"{url}: {answer.outcome}" + (f" ({said})" if said else ""))


def _json(url: str, answer: UrlAnswer) -> str:
    fields = {
        "outcome": answer.outcome,
        "threat": answer.threat,
        "category": answer.category,
        "matched": answer.matched,
        "source": answer.source,
        "valid_for": answer.valid_for,
        "reason": answer.reason,
    }
    return json.dumps({"type": "url", "url": url, **{name: said for name, said in fields.items() if said}})
