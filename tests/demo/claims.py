"""What the demo claims, checked."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.demo.told import Told


@dataclass(frozen=True, slots=True)
class Expected:
    """What the demo found out by itself.

    planted: paths of the files that hold EICAR. answerable_bytes: of the contents that can have a
    verdict, each once. unanswered_bytes: of those that engines gave none on, each once.
    """

    files: int
    planted: frozenset[str]
    answerable_bytes: int
    unanswered_bytes: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence, and whether it is true."""

    sentence: str
    holds: bool


def claims(guests: Sequence[Told], expected: Expected, engine_bytes: int) -> list[Claim]:
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
