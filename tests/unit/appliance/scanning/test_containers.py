"""Tests of appliance/scanning/containers.py."""

import gzip
import mmap
import os
import struct
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.scanning.containers import Bytes, Kind, container_kinds, following
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


def container_kind(data: Bytes) -> Kind | None:
    """The first kind that `data` is of."""
    return next(iter(container_kinds(data)), None)


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
    large = b"PK\x06\x06" + bytes(36) + struct.pack("<QQ", len(directory), 102)
    end = b"PK\x05\x06" + bytes(8) + b"\xff" * 8 + bytes(2)
    kind = container_kind(b"MZ" + bytes(100) + directory + large + locator + end)
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


def test_a_zip_in_the_comment_of_another_is_one_too() -> None:
    """Programs take the last end record, or the one whose comment fits: each sees another zip."""
    data = bytearray(archives.zipped({"a": b"x" * 100}))
    inner = archives.zipped({"b": b"y" * 100})
    data[-2:] = len(inner).to_bytes(2, "little")
    kinds = container_kinds(bytes(data) + inner)
    assert [(kind.name, kind.begins_as_zip) for kind in kinds] == [("zip", True), ("zip", False)]


def test_the_first_name_in_a_tar_does_not_hide_it() -> None:
    """A name can be the magic of anything, and GNU tar opens it all the same."""
    for name, other in (("BZh91AY&SY.com", "bz2"), ("070701.com", "cpio"), ("PK\3\4", "zip")):
        kinds = container_kinds(archives.tarred({name: b"x"}, tarfile.GNU_FORMAT))
        assert [kind.name for kind in kinds] == [other, "tar"]


@pytest.mark.parametrize("magic", [b"BZh91AY&SY", b"\x1f\x8b\x08", b"7z\xbc\xaf\x27\x1c"])
def test_the_free_area_of_an_image_does_not_hide_it(magic: bytes) -> None:
    """The first 32 KiB of an ISO image may hold anything."""
    image = archives.written(MEMBERS, "iso9660")
    assert "iso" in [kind.name for kind in container_kinds(magic + image[len(magic) :])]


def with_checksum(form: str, signed: bool = False) -> bytes:
    """A tar whose header has its checksum in `form`."""
    tar = bytearray(archives.tarred({"\u00e9\u00e9": b"x"}, tarfile.GNU_FORMAT))
    total = 256 + sum(tar[:148]) + sum(tar[156:512])
    if signed:
        total -= 256 * sum(byte > 127 for byte in tar[:512])
    tar[148:156] = (form % total).encode().ljust(8, b"\0")
    return bytes(tar)


@pytest.mark.parametrize("form", ["%06o\0 ", "%08o", "%o", "  %o", "0o%o", "+%o", "\0\0%o", "%ox"])
@pytest.mark.parametrize("signed", [False, True])
def test_a_tar_is_known_however_its_checksum_is_written(form: str, signed: bool) -> None:
    """Without an end, with blanks, by signed bytes: some tar takes each of them."""
    kind = container_kind(with_checksum(form, signed))
    assert kind is not None
    assert kind.name == "tar"
    assert kind.certain is (form != "%ox")


@pytest.mark.parametrize("base", [64, 256])
def test_a_tar_is_known_by_the_numbers_of_gnu_tar(base: int) -> None:
    """A checksum may stand there in base 256, and of old in base 64."""
    tar = bytearray(archives.tarred({"a": b"x"}, tarfile.GNU_FORMAT))
    total = 256 + sum(tar[:148]) + sum(tar[156:512])
    if base == 256:
        tar[148:156] = b"\x80" + total.to_bytes(7, "big")
    else:
        digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        tar[148:156] = b"+AAAA" + "".join(digits[total >> at & 63] for at in (12, 6, 0)).encode()
    assert [kind.name for kind in container_kinds(bytes(tar))] == ["tar"]


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
    (found,) = following(b"first" + bytes(200_000) + gzip.compress(b"hello"), 5)
    assert (found.start, found.name) == (200_005, "gz")
    (found,) = following(b"first" + tar, 5)
    assert (found.start, found.name) == (5, "tar")
    for nothing in (b"", bytes(100), b"plain text " * 10, archives.zipped({"a": b"x"})):
        assert following(b"first" + nothing, 5) == []
