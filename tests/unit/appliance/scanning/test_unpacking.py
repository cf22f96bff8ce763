"""Tests of appliance/scanning/unpacking.py, with real containers of every kind."""

import bz2
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
from appliance.scanning.containers import COMPRESSIONS, Bytes, Kind, container_kinds
from appliance.scanning.engines.content import Content
from appliance.scanning.unpacking import Damaged, Encrypted, NotSupported, members
from tests.support import archives
from tests.support.descriptors import open_descriptors

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


def container_kind(data: Bytes) -> Kind | None:
    """The first kind that `data` is of."""
    return next(iter(container_kinds(data)), None)


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
    """It has no name of its own: a guest's name for the file itself is not taken for one."""
    data = archives.compressed(b"#!/bin/sh\necho hello\n", suffix)
    assert unpacked(data, f"run.sh.{suffix}".encode()) == {"content": b"#!/bin/sh\necho hello\n"}


@pytest.mark.parametrize(
    ("name", "inner"), [(b"run.sh.gz", "run.sh"), (b".gz", "content"), (b"run", "content")]
)
def test_a_compressed_member_gives_the_name_it_had(name: bytes, inner: str) -> None:
    """What stands compressed in a container is named as the member, without the suffix of the compressor."""
    packed = Content.of_bytes(gzip.compress(b"hello"), name, "b/" + name.decode())
    kind = container_kind(packed.data)
    assert kind is not None
    (found,) = [member.member for member in members(packed, kind, budget())]
    assert found == f"b/{name.decode()}!{inner}"


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
    before = open_descriptors()
    data = archives.zipped({**LARGE, "again.bin": LARGE["large.bin"]})
    kind = container_kind(data)
    assert kind is not None
    early = members(Content.of_bytes(data), kind, budget())
    next(early)
    early.close()
    with pytest.raises(TooLarge):
        unpacked(data, limits=UnpackLimits(max_member_mib=1))
    assert open_descriptors() <= before


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
    assert unpacked(gzip.compress(bytes(2048) + b"payload"), b"a.gz") == {"content": bytes(2048) + b"payload"}


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


FIRST, SECOND = {"a.txt": b"first" * 100}, {"b.txt": b"second" * 100}
JUNK = (
    b"neither a header nor zeros " * 19 * 400
)  # more than a few blocks of a tar, and no whole number of them
JUNK = JUNK[: len(JUNK) // 512 * 512]
cpio = functools.partial(archives.written, form="cpio_newc")
APPENDED: dict[str, Callable[[], bytes]] = {
    "tar, tar": lambda: archives.tarred(FIRST) + archives.tarred(SECOND),
    "tar, zeros, tar": lambda: archives.tarred(FIRST) + bytes(100_352) + archives.tarred(SECOND),
    "tar in gz, twice": lambda: (
        gzip.compress(archives.tarred(FIRST)) + gzip.compress(archives.tarred(SECOND))
    ),
    "tar, tar in one gz": lambda: gzip.compress(archives.tarred(FIRST) + archives.tarred(SECOND)),
    "zeros, tar, tar in one xz": lambda: archives.compressed(
        bytes(10240) + archives.tarred(FIRST) + archives.tarred(SECOND), "xz"
    ),
    "cpio, cpio": lambda: cpio(FIRST) + cpio(SECOND),
    "cpio, zeros, cpio in zst, as an initrd": lambda: (
        cpio(FIRST) + bytes(408) + archives.compressed(cpio(SECOND), "zst")
    ),
    "cab, cab": lambda: archives.cab(FIRST) + archives.cab(SECOND),
}


@pytest.mark.parametrize("how", APPENDED)
def test_what_is_appended_to_a_container_is_read_too(how: str) -> None:
    """Behind the end of a container the next one is looked for, as the programs do that open them."""
    assert unpacked(APPENDED[how]()) == FIRST | SECOND


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz", "zst", "lz4", "lz"])
def test_compressed_streams_in_a_row_are_one_file(suffix: str) -> None:
    """Each stream is read to its end and the next one behind it: gunzip and the others do the same."""
    parts = [random.Random(number).randbytes(200_000) for number in range(3)]
    data = b"".join(archives.compressed(part, suffix) for part in parts)
    assert unpacked(data, f"a.{suffix}".encode()) == {"content": b"".join(parts)}


def test_zeros_between_compressed_streams_hide_nothing() -> None:
    """Some programs skip them, so what comes after them is looked at on its own."""
    content = Content.of_bytes(gzip.compress(b"one") + bytes(512) + gzip.compress(b"two"))
    kind = container_kind(content.data)
    assert kind is not None
    assert [bytes(member.data) for member in members(content, kind, budget())] == [b"one", b"two"]


@pytest.mark.parametrize("end", [1024, None], ids=["no end mark", "behind the end mark"])
@pytest.mark.parametrize("wrap", [bytes, gzip.compress], ids=["plain", "gz"])
def test_junk_in_a_tar_hides_nothing_behind_it(wrap: Callable[[bytes], bytes], end: int | None) -> None:
    """However much stands between two members that no tar has, tar skips it, and so is it here."""
    found: dict[str, bytes] = {}
    with pytest.raises(Damaged):
        collect(wrap(archives.tarred(FIRST)[:end] + JUNK + archives.tarred(SECOND)), found)
    assert found == FIRST | SECOND


def test_what_cannot_be_read_behind_an_end_is_told() -> None:
    """A compressor that packed more than the container in it leaves something that nobody has looked at."""
    found: dict[str, bytes] = {}
    with pytest.raises(NotSupported, match="behind its end"):
        collect(gzip.compress(cpio(FIRST) + cpio(SECOND)), found)
    assert found == FIRST
    assert unpacked(gzip.compress(cpio(FIRST) + bytes(100_000))) == FIRST


@pytest.mark.parametrize("make", [archives.tarred, cpio], ids=["tar", "cpio"])
def test_a_bomb_of_zeros_behind_the_end_is_one(make: Callable[[archives.Members], bytes]) -> None:
    """What pads a compressed container is unpacked as well, and so it counts."""
    data = gzip.compress(make(FIRST) + bytes(3 << 20))
    assert unpacked(data) == FIRST
    with pytest.raises(TooLarge, match="max_total_mib"):
        unpacked(data, limits=UnpackLimits(max_total_mib=1))


def test_what_is_read_anew_counts_once() -> None:
    """Zeros might be a tar and are then read as they are: a few megabytes of them are no bomb."""
    data = bytes(12_000_000)
    assert unpacked(gzip.compress(data), b"a.gz") == {"content": data}


def test_each_container_in_a_row_counts_as_a_member() -> None:
    """A file of a hundred thousand empty containers is work as well."""
    data = (gzip.compress(b"") + bz2.compress(b"")) * 5
    assert unpacked(data, limits=UnpackLimits(max_members=9)) == {}
    with pytest.raises(TooLarge, match="max_members"):
        unpacked(data, limits=UnpackLimits(max_members=8))


def test_a_limit_within_a_stream_leaves_nothing_open() -> None:
    """A mapping that was being read when a limit ended it can be closed, and nothing else stays."""
    data = gzip.compress(archives.tarred(FIRST) + random.Random(1).randbytes(1_200_000) + bytes(20_000_000))
    before = open_descriptors()
    fd = os.memfd_create("test")
    os.write(fd, data)
    content = Content.of_descriptor(fd, ContentLabel(b"", len(data)))
    kind = container_kind(content.data)
    assert kind is not None
    with pytest.raises(TooLarge):
        list(members(content, kind, budget(len(data), UnpackLimits(max_total_mib=2))))
    content.close()
    os.close(fd)
    assert open_descriptors() <= before


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


@pytest.mark.parametrize("suffix", ["gz", "xz", "lzma"])
@pytest.mark.parametrize("wrap", [lambda data: data, lambda data: archives.tarred({"content": data})])
def test_what_stands_in_a_compressed_file_before_it_breaks_off_is_read(
    suffix: str, wrap: Callable[[bytes], bytes]
) -> None:
    """Other programs give out what they have got by then: so it is looked at, and the damage is told."""
    inner = b"".join(b"%d " % random.Random(number).randrange(10**9) for number in range(50_000))
    for whole in (inner[:1000], inner):
        data = archives.compressed(wrap(whole), suffix)
        found: dict[str, bytes] = {}
        with pytest.raises(Damaged):
            collect(data[: len(data) * 3 // 4], found)
        assert len(found["content"]) > len(whole) // 2
        assert whole.startswith(found["content"])


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz", "zst", "lz4", "lz"])
def test_bytes_behind_a_compressed_file_do_not_hide_it(suffix: str) -> None:
    """One byte that does not belong there costs nothing of what does."""
    data = archives.compressed(archives.tarred(MEMBERS), suffix)
    found: dict[str, bytes] = {}
    with suppress(Damaged):
        collect(data + b"\1", found)
    assert found == MEMBERS


def test_a_bomb_that_breaks_off_is_one() -> None:
    """What is read in spite of damage counts as everything does."""
    data = archives.compressed(bytes(5_000_000), "xz")
    with pytest.raises(TooLarge, match="max_total_mib"):
        unpacked(data[:-30], limits=UnpackLimits(max_total_mib=1))


EVIL = {"evil.bin": b"what is to be found " * 40}


def test_a_zip_is_read_to_its_end_record_however_long_its_comment() -> None:
    """A comment of 20 KiB, or 64, hides no directory, also where bytes stand before the zip."""
    for length in (20_000, 65_535):
        for front in (b"", b"X" * 100, archives.zipped(FIRST) + b"PK\x01\x02" + bytes(42)):
            data = bytearray(archives.zipped(EVIL))
            data[-2:] = length.to_bytes(2, "little")
            found: dict[str, bytes] = {}
            with suppress(Damaged):
                collect(front + bytes(data) + b"c" * length, found)
            assert found["evil.bin"] == EVIL["evil.bin"]


def test_a_member_is_read_as_the_directory_has_it_too() -> None:
    """Java and Python believe the directory of a zip, whatever the header before the member says."""
    data = bytearray(archives.zipped(EVIL))
    data[8] = 0  # "stored"
    found: list[bytes] = []
    with suppress(Damaged):
        found = contents(bytes(data))
    assert EVIL["evil.bin"] in found


def contents(data: bytes) -> list[bytes]:
    """The bytes of each member, as far as they come."""
    kind = container_kind(data)
    assert kind is not None
    found: list[bytes] = []
    with suppress(Damaged):
        found.extend(bytes(member.data) for member in members(Content.of_bytes(data), kind, budget()))
    return found


def test_another_method_where_the_headers_disagree_is_told() -> None:
    """What the directory says is packed in a way that is not read here is not passed over in silence."""
    data = bytearray(archives.zipped(EVIL, zipfile.ZIP_BZIP2))
    data[8] = 0
    with pytest.raises(NotSupported, match="method 12"):
        unpacked(bytes(data))


def test_a_broken_member_of_a_zip_hides_no_other() -> None:
    """libarchive gives up at the first one that it cannot unpack; the directory names those behind it."""
    data = bytearray(archives.zipped({"broken": random.Random(1).randbytes(300), **EVIL}))
    at = data.index(b"broken") + 6
    data[at : at + 20] = b"\xff" * 20
    found: dict[str, bytes] = {}
    with pytest.raises(Damaged):
        collect(bytes(data), found)
    assert found["evil.bin"] == EVIL["evil.bin"]


def test_a_member_that_the_directory_does_not_name_is_read() -> None:
    """Readers of streams begin at the front of a zip and know of no directory."""
    hidden = archives.zipped(EVIL)
    hidden = hidden[: hidden.rindex(b"PK\x01\x02")]
    assert unpacked(hidden + archives.zipped(FIRST)) == FIRST | EVIL
    assert unpacked(archives.zipped(FIRST, prefix=hidden)) == FIRST | EVIL


@pytest.mark.parametrize("suffix", ["zst", "lz4"])
def test_what_stands_behind_a_skippable_frame_is_read(suffix: str) -> None:
    """zstd and lz4 skip frames with something else in them, before the first one as well."""
    skipped = b"\x5a\x2a\x4d\x18\4\0\0\0abcd"
    data = archives.compressed(archives.tarred(FIRST), suffix)
    assert unpacked(skipped + data) == FIRST
    assert unpacked(skipped * 3 + data) == FIRST


@pytest.mark.parametrize("options", ["dict=4KiB", "lc=4,lp=0", "lc=0,lp=2,pb=0"])
def test_an_lzma_of_any_settings_is_read(options: str) -> None:
    """The settings are the first bytes of the file, and none of them are usual ones."""
    data = archives.by_input(b"some text", "xz", "--format=lzma", f"--lzma1={options}", "-c")
    assert unpacked(data) == {"content": b"some text"}


def test_an_lzma_that_libarchive_does_not_know_is_read_all_the_same() -> None:
    """A dictionary of a size that libarchive does not take, or far too large to have, hides nothing."""
    for size in (3 << 11, 3 << 19, 0xFFFFFFFF, 3 << 30):
        data = bytearray(archives.compressed(b"some text", "lzma"))
        data[1:5] = size.to_bytes(4, "little")
        assert b"some text" in contents(bytes(data))


def test_an_old_lz4_is_read() -> None:
    """lz4 -l writes another magic number."""
    assert unpacked(archives.by_input(b"some text", "lz4", "-l", "-c")) == {"content": b"some text"}


@pytest.mark.parametrize(
    "data",
    [
        b"\x1f\x8b\x08\x80" + gzip.compress(b"text")[4:],
        b"\x26\xb5\x2f\xfd" + bytes(30),
        b"\x50\x2a\x4d\x18\0\0\0\0" * 10_001 + archives.compressed(b"text", "zst"),
    ],
    ids=["flags of gzip", "an old zstd", "frames to skip"],
)
def test_what_others_read_and_libarchive_does_not_is_told(data: bytes) -> None:
    """A form that is known to be opened by others is not called damaged, nor read as if it were plain."""
    with pytest.raises(NotSupported):
        unpacked(data)


def test_what_begins_as_a_compressed_file_and_is_none_is_damaged() -> None:
    """A few bytes are not taken for a container that holds itself."""
    with pytest.raises(Damaged):
        unpacked(b"\x1f\x8b\x08ab")


def test_whatever_may_follow_a_container_is_read() -> None:
    """Behind a cpio a tar may begin whose first name is the magic of something else."""
    evil = archives.tarred({"BZh91AY&SY": b"evil"}, tarfile.GNU_FORMAT)
    found: dict[str, bytes] = {}
    with pytest.raises(Damaged):
        collect(cpio(FIRST) + evil, found)
    assert found == FIRST | {"BZh91AY&SY": b"evil"}


def test_a_directory_that_names_one_member_for_ever_ends() -> None:
    """A million entries for one member are one member, and work all the same."""
    data = archives.zipped({"a": b"x"})
    at, end = data.rindex(b"PK\x01\x02"), data.rindex(b"PK\x05\x06")
    entry = data[at:end]
    tail = data[end : end + 12] + (len(entry) * 500).to_bytes(4, "little") + data[end + 16 :]
    with pytest.raises(TooLarge, match="max_members"):
        unpacked(data[:at] + entry * 500 + tail, limits=UnpackLimits(max_members=100))
