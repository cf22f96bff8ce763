"""What the program that reads disks says, by its form and hostile."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.disk_reader.protocol import Garbled
from appliance.hypervisor.disks.said import batch_of, is_more, volumes_of

DIGEST = "ab" * 32


def test_files_are_taken_over_as_they_are_said() -> None:
    """With paths that are no UTF-8."""
    files = [[1, "/a/\udcff", 5, DIGEST, [[0, 4096, 5], [-1, 0, 9]]], [2, "/b", 0, DIGEST, None]]
    batch = batch_of({"files": files, "problems": [["/", "why"]], "bytes": 7, "done": True}, b"")
    assert [(each.path, each.places) for each in batch.files] == [
        (b"/a/\xff", ((0, 4096, 5), (-1, 0, 9))),
        (b"/b", None),
    ]
    assert (batch.problems, batch.bytes, batch.is_last) == (((b"/", "why"),), 7, True)


@pytest.mark.parametrize(
    "file",
    [
        [1, "/../etc", 1, DIGEST, None],
        [1, "etc", 1, DIGEST, None],
        [1, "/a\0b", 1, DIGEST, None],
        [1, "/a", -1, DIGEST, None],
        [1, "/a", 1 << 70, DIGEST, None],
        [1, "/a", 1, "short", None],
        [1, "/a", 1, "zz" * 32, None],
        [1, "/a", 1, DIGEST, [[0, 0, 1]] * 1000],
        [1, "/a", 1],
        "file",
    ],
)
def test_what_cannot_be_is_garbled(file: Any) -> None:
    """Paths that lead out, sizes that no file has."""
    with pytest.raises(Garbled):
        batch_of({"files": [file], "problems": [], "bytes": 0, "done": False}, b"")


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(("files", "problems", "bytes", "volumes", "more", "say")), _ANYTHING))
def test_whatever_is_said_is_taken_or_garbled(head: dict[str, Any]) -> None:
    """Nothing else is raised."""
    for take in (batch_of, volumes_of, is_more):
        with suppress(Garbled):
            take(head, b"")
