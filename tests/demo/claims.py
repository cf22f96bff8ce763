"""What the demo claims, checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.demo.disclosed import Ledger
from tests.demo.reputation import THREAT
from tests.demo.told import Told


@dataclass(frozen=True, slots=True)
class Expected:
    """What the demo found out by itself.

    planted: paths of the files that hold EICAR. ksn_alone: path of the one that only KSN knows, and its
    digest. answerable_bytes: of the contents that engines can have a verdict on and that KSN does not know,
    each once. unanswered_bytes: of those that engines gave none on, each once.
    """

    files: int
    planted: frozenset[str]
    ksn_alone: tuple[str, bytes]
    answerable_bytes: int
    unanswered_bytes: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence, and whether it is true."""

    sentence: str
    holds: bool


def claims(guests: Sequence[Told], expected: Expected, engine_bytes: int, ledger: Ledger) -> list[Claim]:
    """Everything that must hold. engine_bytes: what the SVM's engines were given, in its own words."""
    return [
        Claim(
            f"each guest looked at all of the {expected.files:,} files that the demo counts there",
            all(guest.files == expected.files for guest in guests),
        ),
        Claim(
            f"each guest found EICAR in all of {len(expected.planted)} wrappings",
            all(expected.planted <= guest.found for guest in guests),
        ),
        Claim(
            "the SVM turned nobody away, however busy it was",
            not any(guest.turned_away for guest in guests),
        ),
        Claim("all guests say the same of all files", len({guest.found for guest in guests}) == 1),
        Claim(
            "each guest ended with 1, as a scanner does that found something",
            all(guest.exit_code == 1 for guest in guests),
        ),
        _engines_claim(len(guests), expected, engine_bytes),
        *_ksn_claims(guests, expected, ledger),
    ]


def _ksn_claims(guests: Sequence[Told], expected: Expected, ledger: Ledger) -> list[Claim]:
    path, digest = expected.ksn_alone
    asked = ledger.about(digest)
    return [
        Claim(
            f"each guest was told by KSN that {Path(path).name} is {THREAT}",
            all(guest.named.get(path) == (THREAT, "ksn") for guest in guests),
        ),
        Claim(
            f"the ledger of {len(ledger.requests):,} requests is whole, as `svm ksn ledger verify` finds",
            not ledger.problem,
        ),
        Claim(
            "it shows the question about that file, in standard mode: its digest, and nothing else",
            bool(asked)
            and all(
                request["mode"] == "standard" and request["fields"] == {"digest": digest.hex()}
                for request in asked
            )
            and "Red" in {request["result"] for request in asked},
        ),
    ]


def _engines_claim(guests: int, expected: Expected, engine_bytes: int) -> Claim:
    once = f"engines were given {engine_bytes:,} bytes; {expected.answerable_bytes:,} unique ones needed them"
    if not expected.unanswered_bytes:
        return Claim(f"{once}: each was given once", engine_bytes == expected.answerable_bytes)
    most = expected.answerable_bytes + guests * expected.unanswered_bytes
    return Claim(
        f"{once}, and {expected.unanswered_bytes:,} got no verdict, which is never cached, so that each "
        f"guest may have had them looked at again: {most:,} at most",
        expected.answerable_bytes <= engine_bytes <= most,
    )
