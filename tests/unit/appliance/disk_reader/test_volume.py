"""What the first bytes of a volume say."""

import pytest

from appliance.disk_reader.volume import HEAD_BYTES, recognised, within


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


def test_a_part_of_pieces_is_made_of_parts_of_them() -> None:
    """As a logical volume is of physical ones."""
    pieces = ((100, 0, 1000), (50, 1, 0))
    assert list(within(pieces, 90, 30)) == [(10, 0, 1090), (20, 1, 0)]
    assert list(within(pieces, 140, 100)) == [(10, 1, 40)]
