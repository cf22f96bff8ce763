"""Whether the disks of a machine are those of its last scan, so that what was changed since can be asked."""

import os
import stat
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from appliance.hypervisor.disks.chain import BESIDE, open_chain
from appliance.hypervisor.disks.headers import BadImage
from appliance.hypervisor.disks.opening import Reach
from appliance.hypervisor.disks.records import Base, DiskKept


class NotFollowed(Exception):
    """Nobody keeps in mind what is written to a disk. The message says why."""


def standing_of(target: str, path: Path | None, image_format: str, reach: Reach = BESIDE) -> DiskKept:
    """A disk as it is now. image_format: as its definition says. Raises NotFollowed.

    reach: as the disk is opened with to be read, so that none is read and yet not followed.
    """
    if path is None:
        raise NotFollowed("it is not read from a file of this host")
    if image_format != "qcow2":
        raise NotFollowed(
            f"its format is {image_format or 'not said'}: only qcow2 keeps in mind what was written to"
        )
    try:
        with ExitStack() as stack:
            chain = open_chain(path, image_format, stack, reach)
            under = []
            for layer in reversed(chain.layers[:-1]):
                for each, fd in zip(layer.paths, layer.fds, strict=True):
                    told = os.fstat(fd)
                    if not stat.S_ISREG(told.st_mode):
                        raise NotFollowed(
                            f"{each}, which lies under it, is a device: nobody tells what is written there"
                        )
                    under.append((os.path.realpath(each), told.st_ino, told.st_size, told.st_mtime_ns))
    except BadImage as error:
        raise NotFollowed(str(error)) from error
    return DiskKept(target, os.path.realpath(path), tuple(under))


def compared(base: Base, now: Sequence[DiskKept]) -> dict[str, str]:
    """For each disk, by its target, why it cannot be compared with the last scan, "" where it can."""
    then = {disk.target: disk for disk in base.disks}
    return {disk.target: _why(then.get(disk.target), disk) for disk in now}


def _why(then: DiskKept | None, now: DiskKept) -> str:
    if then is None:
        return "it was not there at the last scan, or was not followed"
    if then.path != now.path:
        return f"it is another image than at the last scan, when it was {then.path}"
    if then.under != now.under:
        return "what lies under it is not what it was at the last scan"
    return ""
