"""Tests of appliance/scanning/containers.py."""

import gzip
import mmap
import os
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.scanning.containers import container_kind, container_kinds, following
from tests.support import archives
from tests.support.properties import patient

MEMBERS = {"a.txt": b"some text", "b.bin": bytes(1000)}
KINDS: list[tuple[str, Callable[[], bytes]]] = [
    ("zip", lambda: archives.zipped(MEMBERS)),
    ("tar", lambda: archives.tarred(MEMBERS)),
    ("tar", lambda: archives.written(MEMBERS, "v7tar")),
    ("7z", lambda: archives.written(MEMBERS, "7zip")),
    ("iso", lambda: archives.written(MEMBERS, "iso9660")),
    ("cpio", lambda: archives.written(MEMBERS, "cpio")),
    ("cpio", lambda: archives.written(MEMBERS, "cpio_newc")),
    ("cpio", lambda: archives.binary_cpio(MEMBERS, "little")),
    ("cpio", lambda: archives.binary_cpio(MEMBERS, "big")),
    ("xar", lambda: archives.written(MEMBERS, "xar")),
    ("deb", lambda: archives.deb(MEMBERS)),
    ("rpm", lambda: archives.rpm(MEMBERS)),
    ("lha", lambda: archives.lha(MEMBERS)),
    ("rar", lambda: archives.rar4(MEMBERS)),
    ("rar", lambda: archives.rar5(MEMBERS)),
    ("cab", lambda: archives.cab(MEMBERS)),
    *(
        (suffix, lambda suffix=suffix: archives.compressed(b"text", suffix))
        for suffix in archives.COMPRESSORS
    ),
]


@pytest.mark.parametrize(("name", "make"), KINDS)
def test_each_kind_is_known_by_its_own_bytes(name: str, make: Callable[[], bytes]) -> None:
    """A container of each kind is recognised without its name."""
    kind = container_kind(make())
    assert kind is not None
    assert kind.name == name


@pytest.mark.parametrize("behind", [b"", b"a comment"])
def test_a_zip_is_found_by_its_end(behind: bytes) -> None:
    """A program or picture with a zip behind it is a zip, as everything that opens zips sees it."""
    data = bytearray(archives.zipped(MEMBERS, prefix=b"MZ" + bytes(100_000)))
    data[-2:] = len(behind).to_bytes(2, "little")
    kind = container_kind(bytes(data) + behind)
    assert kind is not None
    assert kind.name == "zip"


def test_a_large_zip_is_found_by_its_end() -> None:
    """The end of a zip with 64-bit sizes is recognised too."""
    directory = b"PK\x01\x02" + bytes(42)
    locator = b"PK\x06\x07" + bytes(16)
    end = b"PK\x05\x06" + bytes(8) + b"\xff" * 8 + bytes(2)
    kind = container_kind(b"MZ" + bytes(100) + directory + locator + end)
    assert kind is not None
    assert kind.name == "zip"


def ordinary_files() -> list[Path]:
    """Files of this machine that are no containers: programs, libraries, sources and texts."""
    program = Path(sys.executable).resolve()
    sources = sorted(Path(os.__file__).parent.glob("*.py"))
    texts = sorted(Path("/etc").glob("*.conf"))
    return [program, *sources, *(text for text in texts if os.access(text, os.R_OK))]


def test_ordinary_files_never_meet_libarchive() -> None:
    """Programs, sources and texts are no containers."""
    assert {path: container_kind(path.read_bytes()) for path in ordinary_files()} == dict.fromkeys(
        ordinary_files()
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"P",
        b"PK",
        b"\x1f\x8b",
        b"\x1f\x9d is the beginning of an old compressor's files, and of this text",
        b"BZhello, this is no bzip2 at all",
        b"\x5d\0\0 and then something that is no size",
        b"\xc7\x71 which is the number of a binary cpio, and nothing else of one",
        b"text with the words PK\x05\x06 in it, as every program that reads zips has them",
        b"0707 begins octal numbers as well as archives",
        bytes(600),
        b"!<arch>\nlibrary.o/     0           0     0     644     0         `\n",
    ],
)
def test_a_few_bytes_alone_do_not_make_a_container(data: bytes) -> None:
    """What merely begins like a container, or is a static library, is an ordinary file."""
    assert container_kind(data) is None


def test_a_mapping_is_as_good_as_bytes() -> None:
    """Large contents are mapped and recognised where they lie."""
    data = archives.tarred({"large": bytes(2_000_000)}, tarfile.USTAR_FORMAT)
    with mmap.mmap(-1, len(data)) as mapping:
        mapping[:] = data
        kind = container_kind(mapping)
    assert kind is not None
    assert kind.name == "tar"


@patient
@given(st.binary(max_size=700))
def test_any_bytes_have_an_answer(data: bytes) -> None:
    """Whatever the bytes, they are of a kind or of none."""
    kind = container_kind(data)
    assert kind is None or kind.formats


def test_a_file_that_is_two_containers_is_both() -> None:
    """What begins as one container and ends as a zip is opened as either by some program."""
    zipped = archives.zipped({"a": b"x" * 100})
    for front in (gzip.compress(b"hello"), archives.tarred({"b": b"y"}), b"MSCF\0\0\0\0"):
        kinds = [kind.name for kind in container_kinds(front + zipped)]
        assert len(kinds) == 2
        assert kinds[1] == "zip"
    assert [kind.name for kind in container_kinds(zipped)] == ["zip"]
    assert container_kinds(b"plain text " * 50) == []


def test_two_zips_in_a_row_are_opened_from_both_ends() -> None:
    """Readers of streams begin at the front and others at the end: each sees another zip."""
    one, other = archives.zipped({"a": b"x" * 100}), archives.zipped({"b": b"y" * 100})
    assert [kind.formats for kind in container_kinds(one + other)] == [("zip",), ("zip_streamable",)]


def test_a_tar_behind_zeros_is_one() -> None:
    """Zeros are an empty tar, and what was appended to it is read by tar -i."""
    tar = archives.tarred({"a": b"x"})
    kind = container_kind(bytes(10240) + tar)
    assert kind is not None
    assert kind.name == "tar"
    assert container_kind(bytes(10241) + tar) is None


def test_what_follows_a_container_is_told_with_its_place() -> None:
    """Zeros are skipped; what is no container, and a zip, which is found by its end, are not told."""
    tar = archives.tarred({"a": b"x"})
    found = following(b"first" + bytes(200_000) + gzip.compress(b"hello"), 5)
    assert found is not None
    assert (found[0], found[1].name) == (200_005, "gz")
    found = following(b"first" + tar, 5)
    assert found is not None
    assert (found[0], found[1].name) == (5, "tar")
    for nothing in (b"", bytes(100), b"plain text " * 10, archives.zipped({"a": b"x"})):
        assert following(b"first" + nothing, 5) is None
