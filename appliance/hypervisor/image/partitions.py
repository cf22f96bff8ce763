"""The first sector of a disk: what the firmware runs, and where the two partitions are."""

import struct

SECTOR = 512
BOOT_START_MIB = 1
BOOT_MIB = 64
ROOT_START_MIB = BOOT_START_MIB + BOOT_MIB
_CODE_BYTES = 440
_FAT16_LBA, _LINUX = 0x0E, 0x83
_ACTIVE = 0x80
_NO_CYLINDERS = b"\xfe\xff\xff"  # more than cylinders can tell: only the sector numbers count
SECTORS_IN_MIB = (1 << 20) // SECTOR


def boot_sector(code: bytes, signature: int, root_mib: int) -> bytes:
    """Return it. code: of the boot loader, at most 440 bytes. signature: of the disk, 32 bits."""
    if len(code) > _CODE_BYTES:
        raise ValueError(f"the boot loader's code has {len(code)} bytes, and at most {_CODE_BYTES} find room")
    table = _partition(_ACTIVE, _FAT16_LBA, BOOT_START_MIB, BOOT_MIB)
    table += _partition(0, _LINUX, ROOT_START_MIB, root_mib)
    head = code.ljust(_CODE_BYTES, b"\0") + struct.pack("<IH", signature, 0)
    return head + table.ljust(64, b"\0") + b"\x55\xaa"


def _partition(status: int, kind: int, start_mib: int, mib: int) -> bytes:
    where = struct.pack("<II", start_mib * SECTORS_IN_MIB, mib * SECTORS_IN_MIB)
    return bytes([status]) + _NO_CYLINDERS + bytes([kind]) + _NO_CYLINDERS + where
