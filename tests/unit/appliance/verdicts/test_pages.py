"""Whether an LMDB file is whole, found out without LMDB."""

import os
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.verdicts.pages import FileDamaged, check_pages

PAGE = 4096


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file with two databases, values on pages of their own, and a long list of free pages."""
    path = tmp_path_factory.mktemp("pages") / "sound.mdb"
    source = random.Random(1)
    with lmdb.open(os.fspath(path), subdir=False, max_dbs=2, map_size=64 << 20, sync=False) as env:
        one, two = env.open_db(b"one"), env.open_db(b"two")
        for start in range(0, 30_000, 3000):
            with env.begin(write=True) as txn:
                for number in range(start, start + 3000):
                    txn.put(source.randbytes(36), b"x" * 26, db=one)
                    if number % 500 == 0:
                        txn.put(source.randbytes(36), b"y" * 20_000, db=two)
        with env.begin(write=True) as txn:
            cursor = txn.cursor(db=one)
            cursor.first()
            for _ in range(20_000):
                cursor.delete()
    return path.read_bytes()


def leaves(content: bytes) -> Iterator[int]:
    """Where leaf pages begin, in use or not."""
    for at in range(2 * PAGE, len(content), PAGE):
        number, _, kind, lower, _ = struct.unpack_from("<QHHHH", content, at)
        if number == at // PAGE and kind == 2 and lower > 60:
            yield at


def verdict_on(tmp_path: Path, content: bytes) -> str:
    """What is wrong with the content, "" for nothing."""
    path = tmp_path / "file.mdb"
    path.write_bytes(content)
    try:
        check_pages(path)
    except FileDamaged as error:
        return str(error)
    return ""


def test_a_sound_file_is_whole(tmp_path: Path, sound: bytes) -> None:
    """Trees of some depth, large values and free pages are all understood."""
    assert verdict_on(tmp_path, sound) == ""


def test_an_empty_file_and_an_empty_environment_are_whole(tmp_path: Path) -> None:
    """LMDB begins such files anew, or has only begun them."""
    assert verdict_on(tmp_path, b"") == ""
    lmdb.open(os.fspath(tmp_path / "new.mdb"), subdir=False).close()
    check_pages(tmp_path / "new.mdb")


@pytest.mark.parametrize("kept", [1, 100, PAGE, PAGE + 100, 2 * PAGE, 10 * PAGE, -200 * PAGE])
def test_a_file_that_was_cut_off_is_not(tmp_path: Path, sound: bytes, kept: int) -> None:
    """Wherever it ends."""
    assert verdict_on(tmp_path, sound[:kept]) != ""


def test_zeros_where_pages_were_are_found(tmp_path: Path, sound: bytes) -> None:
    """Every page of zeros that is in use is found, and the sentence names one."""
    content = bytearray(sound)
    for at in leaves(sound):
        content[at : at + PAGE] = bytes(PAGE)
    assert "not what was written there" in verdict_on(tmp_path, bytes(content))


def test_a_page_that_lies_where_another_should_is_found(tmp_path: Path, sound: bytes) -> None:
    """A page carries its own number."""
    first, second = list(leaves(sound))[-2:]
    content = bytearray(sound)
    content[first : first + PAGE] = sound[second : second + PAGE]
    content[second : second + PAGE] = sound[first : first + PAGE]
    assert verdict_on(tmp_path, bytes(content)) != ""


def test_a_free_list_that_names_a_page_in_use_is_found(tmp_path: Path) -> None:
    """LMDB would overwrite that page with the next thing that it stores."""
    path = tmp_path / "file.mdb"
    with lmdb.open(os.fspath(path), subdir=False, map_size=1 << 20) as env:
        for round_ in range(4):
            with env.begin(write=True) as txn:
                for number in range(200):
                    txn.put(b"%d" % number, b"%d" % round_ * 50)
    check_pages(path)
    content = bytearray(path.read_bytes())
    metas = [struct.unpack_from("<Q", content, at + 144)[0] for at in (0, PAGE)]
    newer = PAGE * metas.index(max(metas))
    free, main = (struct.unpack_from("<Q", content, newer + offset)[0] for offset in (80, 128))
    node = struct.unpack_from("<H", content, free * PAGE + 16)[0]
    struct.pack_into("<Q", content, free * PAGE + node + 8 + 8 + 8, main)
    assert verdict_on(tmp_path, bytes(content)) == f"page {main} is in use and free"


def test_other_files_are_none_of_lmdb(tmp_path: Path) -> None:
    """Text, random bytes and zeros are told from a database."""
    for content in (b"hello\n" * 5000, random.Random(2).randbytes(50_000), bytes(50_000)):
        assert "no LMDB file" in verdict_on(tmp_path, content)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_whatever_is_overwritten_only_the_declared_exception_comes(
    tmp_path_factory: pytest.TempPathFactory, sound: bytes, data: st.DataObject
) -> None:
    """Hostile bytes anywhere make FileDamaged or nothing: no other exception, and no endless walk."""
    content = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 8))):
        page = data.draw(st.one_of(st.integers(0, 1), st.integers(0, len(sound) // PAGE - 1)))
        patch = data.draw(st.binary(min_size=1, max_size=16))
        at = page * PAGE + data.draw(st.integers(0, 160))
        content[at : at + len(patch)] = patch
    path = tmp_path_factory.mktemp("any") / "file.mdb"
    path.write_bytes(content)
    raised: list[Exception] = []
    try:
        check_pages(path)
    except Exception as error:
        raised.append(error)
    assert all(type(error) is FileDamaged and str(error) for error in raised)
