"""What the first bytes of a volume say."""

import io
import struct

import pytest

from appliance.disk_reader.volume import HEAD_BYTES, recognised, seen, within


@pytest.mark.parametrize(
    ("at", "magic", "kind", "note"),
    [
        (0, b"XFSB", "xfs", ""),
        (1080, b"\x53\xef", "ext4", ""),
        (0x10040, b"_BHRfS_M", "btrfs", ""),
        (3, b"NTFS    ", "ntfs", ""),
        (512, b"LABELONE", "lvm", ""),
        (0, b"LUKS\xba\xbe", "", "it is encrypted (LUKS): only the guest can read it"),
        (3, b"-FVE-FS-", "", "it is encrypted (BitLocker): only the guest can read it"),
        (4086, b"SWAPSPACE2", "", "it is swap space"),
        (0, b"nothing", "", ""),
    ],
)
def test_a_volume_is_known_by_its_first_bytes(at: int, magic: bytes, kind: str, note: str) -> None:
    """What is not read says why."""
    head = bytes(at) + magic
    assert recognised(head.ljust(HEAD_BYTES, b"\0")) == (kind, note)


@pytest.mark.parametrize(
    ("at", "magic", "kind"),
    [
        *((page - 10, b"SWAPSPACE2", "fat") for page in (4096, 8192, 16384, 65536)),
        (4096, b"\xfc\x4e\x2b\xa9", "fat"),
        (32769, b"CD001", "fat"),
        (3, b"EXFAT   ", ""),
        (3, b"-FVE-FS-", ""),
    ],
)
def test_a_mark_elsewhere_does_not_hide_a_fat(at: int, magic: bytes, kind: str) -> None:
    """A guest mounts it all the same; only what shares its first sector says that it is none."""
    head = bytearray(HEAD_BYTES)
    head[:3] = b"\xeb\x58\x90"
    struct.pack_into("<HBHB", head, 11, 512, 1, 32, 2)
    head[510:512] = b"\x55\xaa"
    head[at : at + len(magic)] = magic
    assert recognised(bytes(head))[0] == kind


@pytest.mark.parametrize(
    ("begin", "version", "last_page", "harmless"),
    [(b"", 1, 16, True), (b"x", 1, 16, False), (b"", 2, 16, False), (b"", 1, 18, False), (b"", 1, 0, False)],
)
def test_swap_is_harmless_as_mkswap_makes_it_alone(
    begin: bytes, version: int, last_page: int, harmless: bool
) -> None:
    """Ten bytes are soon written: what only has the mark was not looked at, which is told."""
    head = bytearray(HEAD_BYTES)
    head[: len(begin)] = begin
    struct.pack_into("<II", head, 1024, version, last_page)
    head[4086:4096] = b"SWAPSPACE2"
    volume = seen("disk", io.BytesIO(head), HEAD_BYTES, ())
    assert volume.harmless is harmless
    assert ("not looked at" in volume.note) is not harmless


def test_a_part_of_pieces_is_made_of_parts_of_them() -> None:
    """As a logical volume is of physical ones."""
    pieces = ((100, 0, 1000), (50, 1, 0))
    assert list(within(pieces, 90, 30)) == [(10, 0, 1090), (20, 1, 0)]
    assert list(within(pieces, 140, 100)) == [(10, 1, 40)]
