"""The port on which this machine's host hands it what it enrols with: a channel of virtio-serial."""

import errno
import os
import select
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

PORT_NAME = "org.kvm_light_agent.enrol.0"


class PortState(Enum):
    """How it stands with the port."""

    NONE = "none"  # this machine has no such port
    FORBIDDEN = "forbidden"  # to whoever looks
    BUSY = "busy"  # another program of this machine has it open
    LEFT = "left"  # nobody of the host is at its other end
    ATTENDED = "attended"


_UNOPENED = {
    errno.EBUSY: PortState.BUSY,
    errno.EACCES: PortState.FORBIDDEN,
    errno.EPERM: PortState.FORBIDDEN,
}


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the kernel shows such ports."""

    named: Path = Path("/dev/virtio-ports")  # by udev
    known: Path = Path("/sys/class/virtio-ports")  # by the kernel, where there is no udev
    devices: Path = Path("/dev")

    def find(self) -> Path | None:
        """The device of the port; None where this machine has none."""
        if (device := self.named / PORT_NAME).exists():
            return device
        try:
            found = [each for each in os.listdir(self.known) if self._name(each) == PORT_NAME]
        except OSError:
            return None
        return self.devices / found[0] if found else None

    def is_attended(self) -> bool:
        """Whether this machine has the port, and somebody of the host is at its other end."""
        return self.state() is PortState.ATTENDED

    def state(self) -> PortState:
        """How it stands with the port now. Nothing is said on it."""
        device = self.find()
        if device is None:
            return PortState.NONE
        try:
            fd = os.open(device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        except OSError as problem:
            return _UNOPENED.get(problem.errno or 0, PortState.LEFT)
        try:
            poll = select.poll()
            poll.register(fd, select.POLLOUT)
            is_left = any(found & (select.POLLHUP | select.POLLERR) for _, found in poll.poll(0))
            return PortState.LEFT if is_left else PortState.ATTENDED
        finally:
            os.close(fd)

    def _name(self, port: str) -> str:
        try:
            with (self.known / port / "name").open("rb") as file:
                return file.read(256).decode(errors="replace").strip()
        except OSError:
            return ""
