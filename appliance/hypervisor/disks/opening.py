"""The files of an image, opened for reading and for nothing else, and not before it is known what they are.

An image names what lies under it, and whoever made the image may have written anything there: another
tenant's disk, a secret of the host, a device that does something when it is opened. So it is looked at first
what a name leads to, without opening it (O_PATH), and what lies under an image has to lie beside it.
"""

import os
import stat
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from appliance.hypervisor.disks.headers import BadImage

_NO_IMAGES: Final = (Path("/proc"), Path("/sys"), Path("/dev"))


@dataclass(frozen=True, slots=True)
class Reach:
    """How far it is followed what an image names. named: what libvirt's definition of the machine names too.

    anywhere: whether the operator said that it may lie anywhere on this host, and be a block device.
    """

    named: tuple[Path, ...] = ()
    anywhere: bool = False


class Opening:
    """Opens the files of one chain, the image itself first."""

    def __init__(self, reach: Reach, stack: ExitStack) -> None:
        """stack: closes them."""
        self._reach = reach
        self._stack = stack
        self._directory: Path | None = None
        self._seen: set[tuple[int, int]] = set()

    def open(self, path: Path) -> int:
        """A descriptor of a regular file or block device. Raises BadImage."""
        try:
            known = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                self._check(known)
                # The very file that was looked at, whatever the name leads to by now.
                flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
                fd = os.open(f"/proc/self/fd/{known}", flags)
            finally:
                os.close(known)
        except (OSError, ValueError) as error:  # the latter for a name that can be none
            why = getattr(error, "strerror", None) or error
            raise BadImage(f"{path.name} cannot be opened: {why}") from error
        self._stack.callback(partial(os.close, fd))
        return fd

    def _check(self, known: int) -> None:
        """Raises BadImage for what is not to be opened."""
        told, place = os.fstat(known), Path(os.readlink(f"/proc/self/fd/{known}"))
        is_device = stat.S_ISBLK(told.st_mode)
        if not (stat.S_ISREG(told.st_mode) or is_device):
            raise BadImage("it is no file and no block device")
        if not is_device and any(map(place.is_relative_to, _NO_IMAGES)):
            raise BadImage(f"it lies in {place.parent}, where there are no images")
        name = (told.st_dev, told.st_ino)
        if name in self._seen:
            raise BadImage("it lies under itself: its chain of backing files is a ring")
        self._seen.add(name)
        if self._directory is None:
            self._directory = place.parent
            return
        is_beside = place.is_relative_to(self._directory) and not is_device
        if not (is_beside or self._reach.anywhere or self._is_named(name)):
            what = "is a device" if is_device else f"does not lie in the image's directory {self._directory}"
            raise BadImage(
                f"{place} {what}, and whoever made the image may have named anything of this host as what "
                "lies under it: say --backing-anywhere if that is right"
            )

    def _is_named(self, name: tuple[int, int]) -> bool:
        for each in self._reach.named:
            try:
                told = os.stat(each)
            except (OSError, ValueError):
                continue
            if (told.st_dev, told.st_ino) == name:
                return True
        return False
