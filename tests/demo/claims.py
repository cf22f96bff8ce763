"""What the demo claims, checked; and the table that shows it."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.demo.progress import megabytes


@dataclass(frozen=True, slots=True)
class Told:
    """What one guest said when its scan was over.

    from_cache: answers that cost nobody an upload of this guest's. found, unanswered: paths.
    """

    name: str
    exit_code: int
    files: int
    file_bytes: int
    uploaded: int
    from_cache: int
    seconds: float
    found: frozenset[str]
    unanswered: frozenset[str]


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
        Claim("all guests say the same of all files", len({guest.found for guest in guests}) == 1),
        Claim("each guest ended as a scanner does that found something", _exit_codes_are_right(guests)),
        _engines_claim(len(guests), expected, engine_bytes),
    ]


def _exit_codes_are_right(guests: Sequence[Told]) -> bool:
    """1 is "found"; 2 where some files, named in the report, have no verdict."""
    return all(guest.exit_code == (2 if guest.unanswered else 1) for guest in guests)


def _engines_claim(guests: int, expected: Expected, engine_bytes: int) -> Claim:
    least = expected.answerable_bytes + expected.unanswered_bytes
    if not expected.unanswered_bytes:
        return Claim(
            f"engines were given {engine_bytes:,} bytes; the unique bytes are {least:,}: each was given once",
            engine_bytes == least,
        )
    most = expected.answerable_bytes + guests * expected.unanswered_bytes
    return Claim(
        f"engines were given {engine_bytes:,} bytes; the unique bytes are {least:,}, of which "
        f"{expected.unanswered_bytes:,} have no verdict and may come again from each guest: {most:,} at most",
        least <= engine_bytes <= most,
    )


def table(guests: Sequence[Told]) -> list[str]:
    """What each guest did, and all of them together."""
    head = f"  {'guest':<8} {'files':>9} {'bytes':>14} {'uploaded':>14} {'from the cache':>15} {'seconds':>8}"
    rows = [
        f"  {guest.name:<8} {guest.files:>9,} {megabytes(guest.file_bytes):>14} "
        f"{megabytes(guest.uploaded):>14} {guest.from_cache:>15,} {guest.seconds:>8.1f}"
        for guest in guests
    ]
    whole = (
        f"  {'in all':<8} {sum(guest.files for guest in guests):>9,} "
        f"{megabytes(sum(guest.file_bytes for guest in guests)):>14} "
        f"{megabytes(sum(guest.uploaded for guest in guests)):>14} "
        f"{sum(guest.from_cache for guest in guests):>15,}"
    )
    return [head, *rows, whole]
