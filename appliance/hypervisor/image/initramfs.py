"""The first file system of the kernel: busybox and the modules by which it finds the root file system."""

import gzip
import stat
from collections.abc import Sequence
from dataclasses import dataclass

_MAGIC = "070701"
_ALIGN = 4

# Looks for the root by its label, wherever the disk is, and gives over to it.
_INIT = """#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /proc /sys /dev /root
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs dev /dev
while read -r module; do $b insmod "/modules/$module" 2>/dev/null; done </modules/order
init=/sbin/init
for word in $($b cat /proc/cmdline); do
  case $word in
    init=*) init=${word#init=} ;;
  esac
done
tries=0
until root=$($b findfs LABEL=@LABEL@ 2>/dev/null); do
  tries=$((tries + 1))
  if [ $tries -gt 300 ]; then
    echo "kvm-light-agent: no disk has a file system with the label @LABEL@" >/dev/console
    $b poweroff -f
  fi
  $b usleep 100000
done
if ! $b mount -t ext4 -o rw,relatime "$root" /root; then
  echo "kvm-light-agent: $root cannot be mounted: its file system is damaged" >/dev/console
  $b poweroff -f
fi
$b mount -o move /dev /root/dev
$b mount -o move /sys /root/sys
$b mount -o move /proc /root/proc
exec $b switch_root /root "$init"
"""


@dataclass(frozen=True, slots=True)
class Module:
    """A module of the kernel. name: of its file."""

    name: str
    content: bytes


def initramfs(busybox: bytes, modules: Sequence[Module], label: str) -> bytes:
    """Return it, packed: modules are loaded in this order; label: of the root file system."""
    order = "".join(f"{module.name}\n" for module in modules).encode()
    files = {
        "bin": (stat.S_IFDIR | 0o755, b""),
        "bin/busybox": (stat.S_IFREG | 0o755, busybox),
        "dev": (stat.S_IFDIR | 0o755, b""),
        "init": (stat.S_IFREG | 0o755, _INIT.replace("@LABEL@", label).encode()),
        "modules": (stat.S_IFDIR | 0o755, b""),
        "modules/order": (stat.S_IFREG | 0o644, order),
        **{f"modules/{module.name}": (stat.S_IFREG | 0o644, module.content) for module in modules},
    }
    packed = b"".join(_member(number, name, *file) for number, (name, file) in enumerate(files.items(), 1))
    return gzip.compress(packed + _member(0, "TRAILER!!!", 0, b""), 6, mtime=0)


def _member(number: int, name: str, mode: int, content: bytes) -> bytes:
    """One member of a cpio archive in the kernel's form, "newc" (Documentation/driver-api/early-userspace)."""
    links = 2 if stat.S_ISDIR(mode) else 1
    encoded = name.encode() + b"\0"
    numbers = (number, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
    head = (_MAGIC + "".join(f"{value:08x}" for value in numbers)).encode() + encoded
    return _padded(head) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % _ALIGN)
