"""The first sector of a disk."""

import struct

import pytest

from appliance.hypervisor.image.partitions import SECTOR, boot_sector


def test_two_partitions_the_first_of_which_boots() -> None:
    """Where they begin and how long they are, in sectors of 512 bytes, as partitioning programs read it."""
    sector = boot_sector(b"code", 0x11223344, 100)
    assert len(sector) == SECTOR
    assert sector[:4] == b"code"
    assert struct.unpack("<I", sector[440:444]) == (0x11223344,)
    assert sector[-2:] == b"\x55\xaa"
    first, second = (struct.unpack("<B3xB3xII", sector[at : at + 16]) for at in (446, 462))
    assert first == (0x80, 0x0E, 2048, 64 * 2048)
    assert second == (0, 0x83, 65 * 2048, 100 * 2048)
    assert not any(sector[478:510])


def test_code_that_finds_no_room_is_refused() -> None:
    """It would lie over the table of partitions."""
    with pytest.raises(ValueError, match="441 bytes"):
        boot_sector(bytes(441), 0, 1)
