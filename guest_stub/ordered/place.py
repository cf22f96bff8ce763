"""Where an ordered scan looks: which trees it walks, and what it leaves alone. No I/O but of names."""

import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from guest_stub.walk import Selection


@dataclass(frozen=True, slots=True)
class Place:
    """What a selection is made of.

    watched: mount points of what is protected. exclude: globs of the settings. own: directories of the stub.
    """

    watched: Sequence[str]
    exclude: Sequence[str]
    own: Iterable[str]


def selection_of(paths: Sequence[str], place: Place, sparse_limit: int) -> tuple[Selection, list[str]]:
    """What to walk for these paths, all that is protected for none; and which paths are not there.

    Below a path, file systems that are protected are walked too, and no others.
    """
    there = [path for path in paths if os.path.lexists(path)]
    roots: dict[str, None] = dict.fromkeys(() if paths else place.watched)
    for path in there:
        whole = os.path.realpath(path)
        below = [point for point in place.watched if point.startswith(whole.rstrip("/") + "/")]
        roots.update(dict.fromkeys([whole, *below]))
    own = [glob.escape(os.path.realpath(directory)) for directory in place.own]
    selection = Selection(
        tuple(roots), (*place.exclude, *own), one_file_system=True, sparse_limit=sparse_limit
    )
    return selection, [path for path in paths if path not in there]
