"""Where an ordered scan looks: which trees it walks, and what it leaves alone. No I/O but of names."""

import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from guest_stub.excludes import Excludes
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
    """What to walk for these paths, all that is protected for none; and why which paths are not walked.

    Below a path, file systems that are protected are walked too, and no others. What is excluded, or lies
    below what is, is walked by no path.
    """
    excludes = Excludes(place.exclude)
    roots: dict[str, None] = dict.fromkeys(() if paths else place.watched)
    refused: list[str] = []
    for path in paths:
        whole = os.path.realpath(path)
        if not os.path.lexists(path):
            refused.append(f"{path} is not there")
        elif excludes.covers(whole):
            refused.append(f"{path} is excluded by the settings of the guest")
        else:
            below = [point for point in place.watched if point.startswith(whole.rstrip("/") + "/")]
            roots.update(dict.fromkeys([whole, *below]))
    walked = tuple(root for root in roots if not excludes.covers(root))
    own = [glob.escape(os.path.realpath(directory)) for directory in place.own]
    selection = Selection(walked, (*place.exclude, *own), one_file_system=True, sparse_limit=sparse_limit)
    return selection, refused
