"""What the program that reads disks says, by its form and hostile."""

from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.disk_reader.protocol import Garbled
from appliance.hypervisor.disks.said import batch_of, is_more, unknown_changes_of, volumes_of

DIGEST = "ab" * 32


def test_files_are_taken_over_as_they_are_said() -> None:
    """With paths that are no UTF-8."""
    files = [[1, "/a/\udcff", 5, DIGEST, "cd" * 32, True], [2, "/b", 0, DIGEST, None, False]]
    batch = batch_of({"files": files, "problems": [["/", "why"]], "bytes": 7, "done": True}, b"", 1000)
    assert [(each.path, each.layout, each.unchanged) for each in batch.files] == [
        (b"/a/\xff", b"\xcd" * 32, True),
        (b"/b", None, False),
    ]
    assert (batch.problems, batch.bytes, batch.is_last) == (((b"/", "why"),), 7, True)


@pytest.mark.parametrize(
    "file",
    [
        [1, "/../etc", 1, DIGEST, None, False],
        [1, "etc", 1, DIGEST, None, False],
        [1, "/a\0b", 1, DIGEST, None, False],
        [1, "/a", -1, DIGEST, None, False],
        [1, "/a", 1 << 70, DIGEST, None, False],
        [1, "/a", 1001, DIGEST, None, False],
        [1, "/a", 1, "short", None, False],
        [1, "/a", 1, "zz" * 32, None, False],
        [1, "/a", 1, "ab " * 21 + "a", None, False],
        [1, "/a", 1, DIGEST, "short", False],
        [1, "/a", 1],
        "file",
    ],
)
def test_what_cannot_be_is_garbled(file: Any) -> None:
    """Paths that lead out, sizes that no file has."""
    with pytest.raises(Garbled):
        batch_of({"files": [file], "problems": [], "bytes": 0, "done": False}, b"", 1000)


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from(("files", "problems", "bytes", "volumes", "unknown", "more", "say")), _ANYTHING
    )
)
def test_whatever_is_said_is_taken_or_garbled(head: dict[str, Any]) -> None:
    """Nothing else is raised."""
    for take in (partial(batch_of, file_bytes=1000), volumes_of, is_more):
        with suppress(Garbled):
            take(head, b"")
    with suppress(Garbled):
        unknown_changes_of(head, 2)


def test_of_each_disk_it_is_said_whether_its_changes_are_known() -> None:
    """Of no other number of disks."""
    assert unknown_changes_of({"unknown": ["", "why"]}, 2) == ["", "why"]
    with pytest.raises(Garbled):
        unknown_changes_of({"unknown": [""]}, 2)
