"""Tests of appliance/scanning/unpacking.py, with real containers of every kind."""

import functools
import gzip
import io
import locale
import logging
import os
import random
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from appliance.config import UnpackLimits
from appliance.domain.content import ContentLabel
from appliance.scanning.budget import Budget, TooLarge
from appliance.scanning.containers import COMPRESSIONS, Kind, container_kind
from appliance.scanning.engines.content import Content
from appliance.scanning.unpacking import Damaged, Encrypted, NotSupported, library_version, members
from tests.support import archives

MEMBERS = {"b/c.exe": b"a program" * 50, "d.txt": b"some text"}
LARGE = {"large.bin": random.Random(1).randbytes(3_000_000)}


def compressed_tar(suffix: str, contents: archives.Members) -> bytes:
    """Return a tar in one of the compressions."""
    return archives.compressed(archives.tarred(contents), suffix)


MAKERS: dict[str, Callable[[archives.Members], bytes]] = {
    "zip": archives.zipped,
    "zip stored": lambda m: archives.zipped(m, zipfile.ZIP_STORED),
    "zip bzip2": lambda m: archives.zipped(m, zipfile.ZIP_BZIP2),
    "zip lzma": lambda m: archives.zipped(m, zipfile.ZIP_LZMA),
    "zip behind a program": lambda m: archives.zipped(m, prefix=b"MZ" + bytes(5000)),
    "tar": archives.tarred,
    "gnu tar": lambda m: archives.tarred(m, tarfile.GNU_FORMAT),
    "7z": archives.seven_zip,
    "7z stored": lambda m: archives.seven_zip(m, "-mx=0"),
    "7z of libarchive": lambda m: archives.written(m, "7zip"),
    "iso of libarchive": lambda m: archives.written(m, "iso9660"),
    "cpio": lambda m: archives.written(m, "cpio"),
    "cpio newc": lambda m: archives.written(m, "cpio_newc"),
    "binary cpio": lambda m: archives.binary_cpio(m, "little"),
    "swapped cpio": lambda m: archives.binary_cpio(m, "big"),
    "xar": lambda m: archives.written(m, "xar"),
    "rpm": archives.rpm,
    "lha": archives.lha,
    "rar 4": archives.rar4,
    "rar 5": archives.rar5,
    "cab": archives.cab,
    **{f"tar in {suffix}": functools.partial(compressed_tar, suffix) for suffix in archives.COMPRESSORS},
}


@pytest.fixture(autouse=True)
def workers_locale() -> Iterator[None]:
    """The locale that workers run in; libarchive reads names by it."""
    before = locale.setlocale(locale.LC_CTYPE)
    locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    yield
    locale.setlocale(locale.LC_CTYPE, before)


def budget(size: int = 1_000_000, limits: UnpackLimits | None = None) -> Budget:
    """A budget for a file of `size` bytes."""
    return Budget(limits or UnpackLimits(), size)


def unpacked(data: bytes, name: bytes = b"", limits: UnpackLimits | None = None) -> dict[str, bytes]:
    """What `data` holds: path -> bytes. Raises as `members` does."""
    found: dict[str, bytes] = {}
    collect(data, found, name, limits)
    return found


def collect(
    data: bytes, into: dict[str, bytes], name: bytes = b"", limits: UnpackLimits | None = None
) -> None:
    """Put what `data` holds into `into`, also what came before an exception."""
    kind = container_kind(data)
    assert kind is not None
    content = Content.of_bytes(data, name)
    for member in members(content, kind, budget(len(data), limits)):
        into[member.member] = bytes(member.data[:])


@functools.cache
def made(maker: str) -> bytes:
    """A container of MEMBERS; some programs take their time."""
    return MAKERS[maker](MEMBERS)


@pytest.mark.parametrize("maker", MAKERS)
def test_each_kind_of_container_gives_its_members(maker: str) -> None:
    """Every member comes out whole and under its path."""
    assert unpacked(made(maker)) == MEMBERS


def test_an_image_of_a_cd_gives_its_files() -> None:
    """An ISO image as genisoimage makes it is read too; it puts all files on one level here."""
    assert unpacked(archives.iso(MEMBERS)) == {
        "c.exe": MEMBERS["b/c.exe"],
        "d.txt": MEMBERS["d.txt"],
    }


def test_a_debian_package_gives_its_tars() -> None:
    """A package holds two tars, which are containers of their own."""
    assert list(unpacked(archives.deb(MEMBERS))) == ["debian-binary", "control.tar.xz", "data.tar.xz"]


@pytest.mark.parametrize("suffix", archives.COMPRESSORS)
def test_a_compressed_file_gives_the_one_it_was(suffix: str) -> None:
    """The member is named as the file, without the suffix of the compressor."""
    data = archives.compressed(b"#!/bin/sh\necho hello\n", suffix)
    assert unpacked(data, f"run.sh.{suffix}".encode()) == {"run.sh": b"#!/bin/sh\necho hello\n"}
    assert unpacked(data, b".gz") == {"content": b"#!/bin/sh\necho hello\n"}


@pytest.mark.parametrize("maker", ["zip", "zip stored", "tar", "7z stored", "tar in zst"])
def test_a_large_member_comes_whole(maker: str) -> None:
    """A member that does not stay in memory comes through a descriptor, byte for byte, and hashed."""
    data = MAKERS[maker](LARGE)
    kind = container_kind(data)
    assert kind is not None
    for member in members(Content.of_bytes(data), kind, budget()):
        assert member.fd >= 0
        assert bytes(member.data[:]) == LARGE["large.bin"]
        assert member.sha256 == Content.of_bytes(LARGE["large.bin"]).sha256


def test_a_large_container_is_read_where_it_lies() -> None:
    """A container that came as a descriptor is mapped, and the mapping is given back."""
    data = archives.tarred(LARGE)
    fd = os.memfd_create("test")
    try:
        os.write(fd, data)
        content = Content.of_descriptor(fd, ContentLabel(b"", len(data)))
        kind = container_kind(content.data)
        assert kind is not None
        assert [member.size for member in members(content, kind, budget())] == [3_000_000]
        content.close()
    finally:
        os.close(fd)


def test_no_descriptor_is_left_open() -> None:
    """Leaving early, or at a limit, gives back what was begun."""
    before = len(os.listdir("/proc/self/fd"))
    data = archives.zipped({**LARGE, "again.bin": LARGE["large.bin"]})
    kind = container_kind(data)
    assert kind is not None
    early = members(Content.of_bytes(data), kind, budget())
    next(early)
    early.close()
    with pytest.raises(TooLarge):
        unpacked(data, limits=UnpackLimits(max_member_mib=1))
    assert len(os.listdir("/proc/self/fd")) == before


def test_members_that_hold_nothing_are_left_out() -> None:
    """Directories, links and empty files are counted and not handed on."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, kind in (("dir", tarfile.DIRTYPE), ("link", tarfile.SYMTYPE), ("empty", tarfile.REGTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd" if kind == tarfile.SYMTYPE else ""
            archive.addfile(entry)
    assert unpacked(out.getvalue()) == {}
    with pytest.raises(TooLarge, match="max_members"):
        unpacked(out.getvalue(), limits=UnpackLimits(max_members=2))


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("../../etc/passwd", "../../etc/passwd"),
        ("sch\u00f6n.exe", "sch\u00f6n.exe"),
        ("cod\u202egpj.exe", "cod\\u202egpj.exe"),
        ("new\nline\x1b[2J", "new\\nline\\x1b[2J"),
    ],
)
def test_hostile_names_are_made_safe(name: str, path: str) -> None:
    """What would move a cursor, or turn text around, is escaped; a path is only a label."""
    assert list(unpacked(archives.zipped({name: b"x"}))) == [path]


def test_a_name_that_is_not_utf8_is_made_safe() -> None:
    """The bytes of a name in some old encoding are spelt out."""
    data = archives.zipped({"caf?.txt": b"x"}).replace(b"caf?.txt", b"caf\xe9.txt")
    assert list(unpacked(data)) == ["caf\\xe9.txt"]


def test_a_very_long_name_is_shortened() -> None:
    """The path of a member stays within what a verdict may hold."""
    (path,) = unpacked(archives.tarred({"a" * 5000: b"x"}))
    assert len(path.encode()) <= 1024


@pytest.mark.parametrize(
    "make",
    [
        lambda: archives.locked_zip(MEMBERS),
        lambda: archives.locked_zip(MEMBERS, "AES256"),
        lambda: archives.seven_zip(MEMBERS, f"-p{archives.PASSWORD}"),
        lambda: archives.seven_zip(MEMBERS, f"-p{archives.PASSWORD}", "-mhe=on"),
    ],
    ids=["zip", "zip aes", "7z", "7z names too"],
)
def test_a_password_is_named(make: Callable[[], bytes]) -> None:
    """A container that is protected by a password says so, whatever of it is."""
    with pytest.raises(Encrypted):
        unpacked(make())


def test_what_is_not_protected_is_handed_on() -> None:
    """Of a container with one locked member the others come out."""
    data = bytearray(archives.zipped({"open.txt": b"open", "locked.txt": b"locked"}, zipfile.ZIP_STORED))
    local, central = data.rindex(b"PK\x03\x04"), data.rindex(b"PK\x01\x02")
    data[local + 6] |= 1
    data[central + 8] |= 1
    found: dict[str, bytes] = {}
    with pytest.raises(Encrypted):
        collect(bytes(data), found)
    assert found == {"open.txt": b"open"}


def test_a_method_that_libarchive_lacks_is_named() -> None:
    """A member packed in a way that others read, and libarchive does not, is not passed over in silence."""
    data = bytearray(archives.zipped({"a.txt": b"text"}))
    data[8] = data[data.rindex(b"PK\x01\x02") + 10] = 9  # deflate64
    with pytest.raises(NotSupported, match="deflation-64-bit"):
        unpacked(bytes(data))


@pytest.mark.parametrize("maker", ["zip", "tar", "tar in gz", "cpio newc", "rar 4", "rar 5"])
def test_what_can_be_read_of_a_broken_off_container_is_handed_on(maker: str) -> None:
    """Of a download that broke off the members before the break come out, and it is called damaged."""
    whole = MAKERS[maker]({"first.txt": b"first", **LARGE})
    found: dict[str, bytes] = {}
    with pytest.raises(Damaged):
        collect(whole[: len(whole) // 2], found)
    assert found["first.txt"] == b"first"
    assert LARGE["large.bin"].startswith(found.get("large.bin", b""))


def test_a_wrong_checksum_does_not_hide_a_member() -> None:
    """The bytes of a member whose checksum is wrong are handed on all the same."""
    data = bytearray(archives.zipped({"a.txt": b"payload"}, zipfile.ZIP_STORED))
    data[14] ^= 1
    data[data.rindex(b"PK\x01\x02") + 16] ^= 1
    found: dict[str, bytes] = {}
    with pytest.raises(Damaged):
        collect(bytes(data), found)
    assert found == {"a.txt": b"payload"}


def test_a_zip_with_a_broken_directory_is_read_from_its_beginning() -> None:
    """Where the directory of a zip cannot be read its members still stand one after another."""
    data = archives.zipped({"a.txt": b"payload"}).replace(b"PK\x01\x02", b"PK\x01\x7f")
    found: dict[str, bytes] = {}
    with suppress(Damaged):
        collect(data, found)
    assert found == {"a.txt": b"payload"}


def test_compressed_bytes_that_look_like_a_container_are_not_lost() -> None:
    """What only begins like a cpio inside a compressed file is handed on as it is."""
    inner = b"\xc7\x71" + bytes(range(256)) * 4
    found: dict[str, bytes] = {}
    with suppress(Damaged):
        collect(gzip.compress(inner), found, b"a.gz")
    assert inner in found.values()


def test_zeros_do_not_hide_what_comes_after_them() -> None:
    """Zeros are also how a tar ends; compressed bytes that begin with them are handed on as they are."""
    assert unpacked(gzip.compress(bytes(2048) + b"payload"), b"a.gz") == {"a": bytes(2048) + b"payload"}


@pytest.mark.parametrize(
    ("limits", "setting"),
    [
        (UnpackLimits(max_member_mib=1), "max_member_mib"),
        (UnpackLimits(max_total_mib=1), "max_total_mib"),
        (UnpackLimits(max_ratio=2), "max_ratio"),
        (UnpackLimits(max_members=1), "max_members"),
    ],
)
@pytest.mark.parametrize("how", ["zip", "tar in gz", "7z of libarchive"])
def test_a_bomb_ends_at_the_first_limit(limits: UnpackLimits, setting: str, how: str) -> None:
    """A little file that unpacks to a lot ends as too large, by whichever limit it meets first."""
    bomb = bomb_of(how)
    with pytest.raises(TooLarge, match=setting):
        unpacked(bomb, limits=limits)


@functools.cache
def bomb_of(how: str) -> bytes:
    """Eighteen megabytes of zeros, packed small."""
    return MAKERS[how]({"small": b"x", "zeros": bytes(18_000_000)})


def test_a_bomb_does_not_have_to_tell_its_size() -> None:
    """A stream that claims no size is counted as it comes."""
    with pytest.raises(TooLarge, match="max_member_mib"):
        unpacked(gzip.compress(bytes(3_000_000)), limits=UnpackLimits(max_member_mib=1))


def test_the_hole_of_a_sparse_member_counts() -> None:
    """A tar can claim a terabyte of nothing in one block."""
    entry = tarfile.TarInfo("sparse")
    entry.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.name": "sparse",
        "GNU.sparse.size": str(1 << 40),
        "GNU.sparse.numblocks": "1",
        "GNU.sparse.map": f"{(1 << 40) - 5},5",
    }
    entry.size = 5
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(entry, io.BytesIO(b"hello"))
    with pytest.raises(TooLarge, match="max_member_mib"):
        unpacked(out.getvalue())


def test_a_small_hole_is_filled_with_zeros() -> None:
    """The bytes between the pieces of a sparse member are zeros."""
    entry = tarfile.TarInfo("sparse")
    entry.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.name": "sparse",
        "GNU.sparse.size": "1500005",
        "GNU.sparse.numblocks": "1",
        "GNU.sparse.map": "1500000,5",
    }
    entry.size = 5
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(entry, io.BytesIO(b"hello"))
    assert unpacked(out.getvalue()) == {"sparse": bytes(1_500_000) + b"hello"}


@pytest.mark.parametrize("maker", ["zip", "7z of libarchive", "cab", "rar 5", "tar in xz", "rpm", "cpio"])
def test_mutated_containers_only_end_in_the_ways_that_are_named(maker: str) -> None:
    """Whatever is wrong with a container, it ends in one of the declared exceptions or in members."""
    generator = random.Random(maker)
    whole = made(maker)
    for _ in range(150):
        data = mutated(whole, generator)
        kind = container_kind(data)
        if kind is None:
            continue
        with suppress(Damaged, Encrypted, NotSupported, TooLarge):
            for member in members(Content.of_bytes(data), kind, budget(len(data))):
                assert member.size == len(member.data)
                assert member.member.isprintable()


def mutated(data: bytes, generator: random.Random) -> bytes:
    """Return `data` with a few bytes changed, left out or put in, mostly near the front."""
    out = bytearray(data)
    for _ in range(generator.choice((1, 2, 8))):
        at = generator.randrange(min(len(out), generator.choice((100, len(out)))))
        match generator.randrange(4):
            case 0:
                out[at] = generator.randrange(256)
            case 1:
                out[at : at + 4] = generator.choice((b"\xff\xff\xff\xff", bytes(4), b"\xff\xff\xff\x7f"))
            case 2:
                del out[at : at + generator.randrange(1, 20)]
            case 3:
                out[at:at] = generator.randbytes(generator.randrange(1, 20))
        if not out:
            return data
    return bytes(out)


def test_the_containers_own_text_goes_into_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """libarchive's warnings, which quote the container, are not logged."""
    with caplog.at_level(logging.DEBUG):
        test_a_wrong_checksum_does_not_hide_a_member()
    assert caplog.records == []


def test_nothing_that_starts_a_program_is_enabled() -> None:
    """Of libarchive's filters only those are used that the library holds itself."""
    assert not {"lrzip", "grzip", "lzop", "program", "all", "uu"} & set(COMPRESSIONS)


def test_a_file_that_is_no_container_after_all_is_damaged() -> None:
    """What libarchive does not recognise is named as damaged, not taken for empty."""
    nothing = Content.of_bytes(b"nothing that a zip has")
    with pytest.raises(Damaged):
        list(members(nothing, Kind("zip", ("zip",)), budget()))


def test_the_library_tells_its_version() -> None:
    """The version is part of the generation: another libarchive may read more."""
    assert int(library_version()) >= 3_004_000
