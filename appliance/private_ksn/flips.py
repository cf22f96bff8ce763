"""Which zones change when one file of a feed takes the place of another."""

from collections.abc import Callable, Iterator

from appliance.private_ksn.feed_file import FeedFile
from appliance.private_ksn.reputation import Reputation, Zone, strongest
from appliance.private_ksn.store import KEPT_CHANGES, Flip

# What the operator and the other feeds say of a key: the word, and whether it wins whatever this feed says.
Others = Callable[[bytes], tuple[Reputation | None, bool]]


def flips(old: FeedFile | None, new: FeedFile | None, others: Others) -> list[Flip] | None:
    """Every key whose zone is another one with the new file, and what is said then; None: more than are kept.

    old, new: None where there was, or will be, no such feed. Reads both once, in order, and stops when it is
    too many.
    """
    found: list[Flip] = []
    for key, before, after in _differences(_zones(old), _zones(new)):
        word, final = others(key)
        if final:
            continue
        zones = [_counting(zone, word) for zone in (before, after)]
        if zones[0] == zones[1]:
            continue
        if len(found) >= KEPT_CHANGES:
            return None
        own = new.get(key) if new and after is not None else None
        found.append((key, strongest([said for said in (own and own[0], word) if said])))
    return found


def _zones(file: FeedFile | None) -> Iterator[tuple[bytes, int]]:
    return file.zones() if file else iter(())


def _counting(zone: int | None, word: Reputation | None) -> Zone | None:
    known = [Zone(one) for one in (zone, word.zone if word else None) if one is not None]
    return max(known, default=None)


def _differences(
    old: Iterator[tuple[bytes, int]], new: Iterator[tuple[bytes, int]]
) -> Iterator[tuple[bytes, int | None, int | None]]:
    """Keys that have another zone in one than in the other; None: one has them not. Both are in order."""
    one, other = next(old, None), next(new, None)
    while one or other:
        if one == other:
            one, other = next(old, None), next(new, None)
        elif other is None or (one is not None and one[0] < other[0]):
            assert one is not None
            yield one[0], one[1], None
            one = next(old, None)
        elif one is None or other[0] < one[0]:
            yield other[0], None, other[1]
            other = next(new, None)
        else:
            yield one[0], one[1], other[1]
            one, other = next(old, None), next(new, None)
