"""The first bytes of images, of real ones and of hostile ones."""

import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.hypervisor.disks.headers import FORMATS, BadImage, header_of, probed
from tests.support.disk_images import converted, empty, overlay, tool
from tests.support.encrypted import mark_encrypted


def test_what_lies_under_an_image_is_told_as_it_is_written_there(tmp_path: Path) -> None:
    """With its format."""
    raw = empty(tmp_path / "a.raw", 1)
    top = overlay(raw, tmp_path / "top.qcow2", "raw")
    header = header_of(top.read_bytes()[:65536], "qcow2")
    assert (header.backing, header.backing_format) == (str(raw), "raw")


def test_formats_are_told_by_the_first_bytes(tmp_path: Path) -> None:
    """Those that are known and not read are a sentence."""
    raw = empty(tmp_path / "a.raw", 1)
    for suffix in ("qcow2", "vmdk"):
        assert probed(converted(raw, tmp_path / f"a.{suffix}").read_bytes()[:65536]) == suffix
    assert probed(raw.read_bytes()) == "raw"
    for suffix in ("vdi", "vhdx", "qed"):
        with pytest.raises(BadImage, match="convert it with"):
            probed(converted(raw, tmp_path / f"a.{suffix}").read_bytes()[:65536])


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("-o", "data_file={}/data"), "data_file"),
        (("-o", "extended_l2=on"), "extended_l2"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path: Path, options: tuple[str, ...], why: str) -> None:
    """And what to do."""
    image = tmp_path / "a.qcow2"
    tool("qemu-img", "create", "-q", "-f", "qcow2", *(word.format(tmp_path) for word in options), image, "1M")
    with pytest.raises(BadImage, match=why):
        header_of(image.read_bytes()[:65536], "qcow2")


def test_an_encrypted_image_is_for_who_has_its_key(tmp_path: Path) -> None:
    """And what to do."""
    image = tmp_path / "a.qcow2"
    tool("qemu-img", "create", "-q", "-f", "qcow2", image, "1M")
    mark_encrypted(image)
    with pytest.raises(BadImage, match="encrypted"):
        header_of(image.read_bytes()[:65536], "qcow2")


def test_an_image_that_is_marked_as_corrupt_is_not_read(tmp_path: Path) -> None:
    """Nobody knows what is in it."""
    image = bytearray(converted(empty(tmp_path / "a.raw", 1), tmp_path / "a.qcow2").read_bytes())
    struct.pack_into(">Q", image, 72, 2)
    with pytest.raises(BadImage, match="marked as corrupt"):
        header_of(bytes(image[:65536]), "qcow2")


@pytest.mark.parametrize("bit", [5, 6, 40, 63])
def test_features_that_nobody_knows_are_refused(tmp_path: Path, bit: int) -> None:
    """The format says so: who does not know one may read the image wrong."""
    image = bytearray(converted(empty(tmp_path / "a.raw", 1), tmp_path / "a.qcow2").read_bytes()[:65536])
    struct.pack_into(">Q", image, 72, 1 << bit)
    with pytest.raises(BadImage, match=f"features that are not known here .bits {1 << bit:#x}."):
        header_of(bytes(image), "qcow2")
    struct.pack_into(">Q", image, 72, 1)  # it was not closed: its reference counts may be behind
    assert header_of(bytes(image), "qcow2").format == "qcow2"


def test_how_an_image_is_compressed_has_to_be_known(tmp_path: Path) -> None:
    """zstd is read; what is neither that nor zlib, or is not said in both places, is not."""
    raw = empty(tmp_path / "a.raw", 1)
    packed = converted(raw, tmp_path / "a.qcow2", "-c", "-o", "compression_type=zstd").read_bytes()[:65536]
    assert header_of(packed, "qcow2").format == "qcow2"
    for kind, features in ((2, 8), (1, 0), (0, 8)):
        image = bytearray(packed)
        struct.pack_into(">Q", image, 72, features)
        image[104] = kind
        with pytest.raises(BadImage, match=f"compression of the type {kind}"):
            header_of(bytes(image), "qcow2")


def test_a_name_of_what_lies_under_has_an_end(tmp_path: Path) -> None:
    """One with a zero in it is none."""
    top = overlay(empty(tmp_path / "a.raw", 1), tmp_path / "top.qcow2", "raw")
    head = bytearray(top.read_bytes()[:65536])
    head[struct.unpack_from(">Q", head, 8)[0] + 3] = 0
    with pytest.raises(BadImage, match=r"damaged .the name of the file under it."):
        header_of(bytes(head), "qcow2")


def test_parts_of_a_vmdk_lie_beside_it(tmp_path: Path) -> None:
    """A name that leads elsewhere is none."""
    raw = empty(tmp_path / "a.raw", 3)
    image = converted(raw, tmp_path / "a.vmdk", "-o", "subformat=twoGbMaxExtentFlat")
    header = header_of(image.read_bytes(), "vmdk")
    assert header.extents == (("flat", 3 << 11, 0),)
    assert header.extent_files == ("a-f001.vmdk",)
    for line in (b'RW 10 FLAT "../../etc/shadow" 0', b'RW 10 FLAT "/etc/shadow" 0', b"RW 10 ZERO"):
        with pytest.raises(BadImage, match="extents that are not read"):
            header_of(b"# Disk DescriptorFile\n" + line, "vmdk")
    with pytest.raises(BadImage, match="lies on another"):
        header_of(b"# Disk DescriptorFile\nparentCID=12345678\n", "vmdk")


_QCOW2 = b"QFI\xfb\0\0\0\3"


@given(st.sampled_from((_QCOW2, b"KDMV", b"# Disk DescriptorFile\n", b"")), st.binary(max_size=300))
@example(_QCOW2, b"\0" * 90)
@example(b"KDMV", b"\xff" * 60)
def test_whatever_the_bytes_are_the_header_is_read_or_refused(magic: bytes, more: bytes) -> None:
    """Nothing else is raised."""
    for image_format in (*FORMATS, "vhd"):
        with suppress(BadImage):
            header_of(magic + more, image_format)


@pytest.mark.parametrize("image_format", FORMATS)
def test_an_image_without_a_byte_is_none(image_format: str) -> None:
    """Whoever copied it was broken off; "it is empty" would say that all is well."""
    with pytest.raises(BadImage, match="it has 0 bytes, and no disk has: copy it again"):
        header_of(b"", image_format)


@pytest.mark.parametrize(("image_format", "size"), [("qcow2", 36), ("qcow2", 90), ("vmdk", 30)])
def test_an_image_that_is_cut_off_in_its_header_is_a_sentence(
    tmp_path: Path, image_format: str, size: int
) -> None:
    """With how much of it there is."""
    image = converted(empty(tmp_path / "a.raw", 1), tmp_path / f"a.{image_format}").read_bytes()[:size]
    with pytest.raises(BadImage, match=f"it is cut off in its header, after {size} bytes: copy it again"):
        header_of(image, image_format)


def test_a_name_that_is_no_text_is_a_sentence(tmp_path: Path) -> None:
    """And none of Python's."""
    top = overlay(empty(tmp_path / "a.raw", 1), tmp_path / "top.qcow2", "raw")
    head = bytearray(top.read_bytes()[:65536])
    head[struct.unpack_from(">Q", head, 8)[0]] = 0xFF
    with pytest.raises(BadImage, match=r"its header is damaged \(a name in it is not UTF-8\)"):
        header_of(bytes(head), "qcow2")
