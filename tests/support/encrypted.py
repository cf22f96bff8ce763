"""A disk image that says that it is encrypted."""

from pathlib import Path

_METHOD_AT = 32  # in the header, as docs/interop/qcow2.txt of QEMU has it; u32 big endian
_AES = 1


def mark_encrypted(image: Path) -> None:
    """Have a qcow2 image say so. QEMU makes real ones only once it has measured how fast this machine is."""
    with image.open("r+b") as file:
        file.seek(_METHOD_AT)
        file.write(_AES.to_bytes(4, "big"))
