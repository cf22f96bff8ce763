"""What is taken for unchanged is what reading all would tell, whatever a guest did to its disk in between."""

import hashlib
import io
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.disk_reader.bounds import Patience
from appliance.disk_reader.dirty import Dirty
from appliance.disk_reader.trees.table import TREES
from appliance.disk_reader.trees.tree import Content
from appliance.disk_reader.unchanged import Known, Tracked, Unchanged, layout_of
from appliance.disk_reader.walking import Found, Walk
from tests.support.disk_images import PLENTY, ext4, fat, ntfs, tool, write_tree

GRAIN = 4096  # of what is known to be written to; QEMU's is 65,536 mostly
DISK = 7


class Image:
    """A file system. kind: as it is read."""

    def __init__(self, kind: str, data: bytes) -> None:
        self.kind = kind
        self.data = data

    def __repr__(self) -> str:
        return self.kind


def known_of(records: dict[bytes, bytes]) -> Known:
    """Records in a file."""
    with tempfile.TemporaryFile() as file:
        file.write(b"head" + b"".join(key + records[key] for key in sorted(records)))
        file.flush()
        return Known(file.fileno(), 4, len(records))


def walked(kind: str, image: bytes | bytearray, unchanged: Unchanged) -> list[Found]:
    """The files of an image that is a disk."""
    pieces = ((len(image), 0, 0),)
    known = partial(unchanged.digest, kind, pieces)
    try:
        tree = TREES[kind](cast(BinaryIO, io.BytesIO(bytes(image))))
        return [each for each in Walk(tree, PLENTY, Patience(), known=known) if isinstance(each, Found)]
    except Exception:  # a file system that is damaged to its root has no files
        return []


def recorded(kind: str, image: bytes) -> dict[bytes, bytes]:
    """Where all files of an image lie, and what they are."""
    followed = Unchanged([Tracked(DISK, None)], None)
    records: dict[bytes, bytes] = {}
    for found in walked(kind, image, followed):
        layout = followed.layout(kind, ((len(image), 0, 0),), found.content)
        if layout is not None:
            records[layout] = found.sha256
    return records


@pytest.fixture(scope="module", params=["ext4", "inline", "fat", "ntfs"])
def before(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """A file system."""
    top = tmp_path_factory.mktemp("before")
    expected = write_tree(top / "tree")
    for path in sorted(expected)[60:]:
        if path.startswith("/many"):
            (top / "tree" / path[1:]).unlink()
    if request.param == "fat":
        return Image("fat", fat(top / "tree", top / "image", 16, 12).read_bytes())
    if request.param == "ntfs":
        files = [*sorted((top / "tree" / "many").iterdir())[:30], top / "tree/usr/bin/large"]
        return Image("ntfs", ntfs(files, top / "image", 16).read_bytes())
    options = ("-O", "inline_data", "-I", "256") if request.param == "inline" else ()
    return Image("ext4", ext4(top / "tree", top / "image", "-b", "1024", *options, mib=8).read_bytes())


# A guest writes bytes of its own somewhere, or moves blocks of its disk about: inodes, directories, data.
_WRITE = st.tuples(st.just("write"), st.integers(0, 1 << 24), st.binary(min_size=1, max_size=64))
_COPY = st.tuples(st.integers(0, 1 << 14), st.integers(0, 1 << 14), st.integers(1, 8))


def changed(image: bytes, changes: list[tuple[object, ...]]) -> tuple[bytearray, Dirty]:
    """An image after changes, and what of it was written to."""
    after, grains = bytearray(image), set[int]()
    for change in changes:
        if change[0] == "write":
            at, data = cast(int, change[1]) % len(image), cast(bytes, change[2])
        else:
            source, target, count = cast("tuple[int, int, int]", change)
            at = target * 1024 % len(image)
            data = image[source * 1024 % len(image) :][: count * 1024]
        data = data[: len(image) - at]
        after[at : at + len(data)] = data
        grains |= set(range(at // GRAIN, (at + len(data) - 1) // GRAIN + 1)) if data else set()
    dirty = Dirty()
    for grain in sorted(grains):
        dirty.add(grain * GRAIN, GRAIN)
    return after, dirty


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(_WRITE | _COPY, max_size=12))
def test_whatever_was_changed_is_seen(before: Image, changes: list[tuple[object, ...]]) -> None:
    """Data, directories and inodes, moved about too: the same files and digests as by reading all."""
    kind, image = before.kind, before.data
    after, dirty = changed(image, changes)
    again = Unchanged([Tracked(DISK, dirty)], known_of(recorded(kind, image)))
    compared = walked(kind, after, again)
    read = walked(kind, after, Unchanged([None], None))
    assert [(each.path, each.size, each.sha256) for each in compared] == [
        (each.path, each.size, each.sha256) for each in read
    ]
    assert not any(each.unchanged for each in read)


def test_what_was_not_changed_is_not_read(before: Image) -> None:
    """All files whose bytes lie in places of their own."""
    kind, image = before.kind, before.data
    again = Unchanged([Tracked(DISK, Dirty())], known_of(recorded(kind, image)))
    found = walked(kind, image, again)
    assert found
    for each in found:
        assert each.unchanged == (each.content.runs is not None)
    assert any(each.unchanged for each in found)


def test_what_lies_within_an_inode_is_read(before: Image) -> None:
    """Its places do not say what it is."""
    kind, image = before.kind, before.data
    inline = [each for each in walked(kind, image, Unchanged([None], None)) if each.content.runs is None]
    followed = Unchanged([Tracked(DISK, Dirty())], known_of({}))
    for each in inline:
        assert followed.layout(kind, ((len(image), 0, 0),), each.content) is None


def test_a_file_that_is_led_to_the_places_of_another_is_what_lies_there(tmp_path: Path) -> None:
    """Neither its name nor its inode says what it is."""
    (tmp_path / "tree").mkdir()
    for name in ("a", "b"):
        (tmp_path / "tree" / name).write_bytes(name.encode() * 1024)
    image = ext4(tmp_path / "tree", tmp_path / "image", "-b", "1024", "-t", "ext2", mib=8)
    records = recorded("ext4", image.read_bytes())
    words = ["/usr/sbin/debugfs", "-R", "blocks /b", str(image)]
    block = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
    tool("debugfs", "-w", "-R", f"sif /a block[0] {block}", image)
    again = Unchanged([Tracked(DISK, Dirty())], known_of(records))
    found = {each.path: each for each in walked("ext4", image.read_bytes(), again)}
    assert found["/a"].sha256 == found["/b"].sha256 == hashlib.sha256(b"b" * 1024).digest()


def content(*runs: tuple[int | None, int], size: int = 10) -> Content:
    """A file."""
    return Content("", size, io.BytesIO, runs)


def test_places_are_of_disks_that_are_followed_and_within_the_volume() -> None:
    """Across two disks as LVM puts them together; else there is no layout."""
    pieces = ((100, 0, 1000), (100, 1, 5000))
    both = Unchanged([Tracked(3, Dirty()), Tracked(4, Dirty())], None)
    expected = layout_of("xfs", 10, [(3, 1090, 10), (4, 5000, 20), (-1, 0, 5)])
    assert both.layout("xfs", pieces, content((90, 30), (None, 5))) == expected
    one = Unchanged([Tracked(3, Dirty()), None], None)
    assert one.layout("xfs", pieces, content((90, 30))) is None
    assert one.layout("xfs", pieces, content((90, 10))) is not None
    assert both.layout("xfs", pieces, content((190, 30))) is None  # beyond the end
    assert both.layout("xfs", pieces, Content("", 10, io.BytesIO)) is None


def test_a_disk_of_which_nothing_is_known_is_read() -> None:
    """The other one is compared; zeros that lie nowhere have no disk."""
    pieces = ((100, 0, 0), (100, 1, 0))
    disks = [Tracked(3, Dirty()), Tracked(4, None)]
    followed = Unchanged(disks, None)
    files = {name: content((at, 50)) for name, at in (("first", 10), ("second", 110), ("both", 80))}
    files["zeros"] = content((None, 50))
    layouts = {followed.layout("xfs", pieces, each): b"d" * 32 for each in files.values()}
    again = Unchanged(disks, known_of({key: value for key, value in layouts.items() if key}))
    told = {name: again.digest("xfs", pieces, each) is not None for name, each in files.items()}
    assert told == {"first": True, "second": False, "both": False, "zeros": True}


def test_a_file_in_too_many_parts_is_read() -> None:
    """Comparing it has a bound."""
    followed = Unchanged([Tracked(3, Dirty())], None)
    assert followed.layout("xfs", ((1 << 30, 0, 0),), content(*[(0, 1)] * 70_000)) is None


def numbers() -> Iterator[bytes]:
    """Keys of records."""
    for number in range(0, 1000, 2):
        yield number.to_bytes(32)


def test_records_are_found_by_their_layouts() -> None:
    """Each of them, and no others."""
    known = known_of({key: key[::-1] for key in numbers()})
    assert all(known.digest(key) == key[::-1] for key in numbers())
    assert all(known.digest(number.to_bytes(32)) is None for number in (1, 3, 999, 1001, 1 << 200))
    assert known_of({}).digest(bytes(32)) is None
