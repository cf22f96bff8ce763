"""Goes through the verdicts of a scope, some at a time."""

import itertools
from collections.abc import Callable

import lmdb

from appliance.domain.verdict import Verdict
from appliance.verdicts.environment import Environment

Page = tuple[list[tuple[bytes, Verdict]], bytes | None]


def page(
    environment: Environment,
    decode: Callable[[bytes], Verdict | None],
    prefix: bytes,
    start: bytes,
    count: int,
) -> Page:
    """Of the next `count` records under a prefix those that count, and where to go on, None for nowhere.

    start: a digest, or b"" for the first. Nothing where the file cannot be read.
    """
    try:
        with environment.read() as txn:
            cursor = txn.cursor()
            there = cursor.set_range(prefix + start)
            entries = list(itertools.islice(cursor.iternext(), count + 1)) if there else []
    except lmdb.Error:  # whoever answers guests meets it as well, and mends it
        return [], None
    ours = [(bytes(key)[len(prefix) :], bytes(data)) for key, data in entries if key.startswith(prefix)]
    found = [(digest, verdict) for digest, data in ours[:count] if (verdict := decode(data)) is not None]
    return found, ours[count][0] if len(ours) > count else None
