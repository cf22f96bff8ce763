"""A host's libvirt: opened, and asked; what it complains of becomes a sentence.

Calls block: who serves others asks from a thread.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Self

import libvirt

# What libvirt says in its own words on stderr, besides raising it.
libvirt.registerErrorHandler(lambda _context, _error: None, None)


REVIVE_SECONDS = 10.0  # for a libvirt that went, when something is to be ended or taken back
_LOOK_SECONDS = 0.2

# What libvirt refuses with: by itself, by its rules of access, or by polkit, which has nobody to ask or is
# not there to be asked.
_NO_RIGHT = (
    libvirt.VIR_ERR_AUTH_FAILED,
    libvirt.VIR_ERR_AUTH_CANCELLED,
    libvirt.VIR_ERR_AUTH_UNAVAILABLE,
    libvirt.VIR_ERR_ACCESS_DENIED,
    libvirt.VIR_ERR_DBUS_SERVICE,
)
_NO_RIGHT_WORDS = "ermission", "system bus"  # where it has no code for that
_WHO_MAY = "be root or of the group libvirt"


class VirtError(Exception):
    """libvirt cannot do it. The message says what and what to do. code: libvirt's VIR_ERR_*, 0 for none."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True, eq=False)
class VirtHost:
    """An open connection. uri: by which it was opened. connection: another one once it was revived."""

    uri: str
    connection: libvirt.virConnect

    @classmethod
    def open(cls, uri: str) -> Self:
        """Connect. Raises VirtError where there is no libvirt, or it gives no right."""
        try:
            return cls(uri, libvirt.open(uri))
        except libvirt.libvirtError as error:
            raise VirtError(_why_closed(uri, error), error.get_error_code()) from error

    def revive(self, seconds: float) -> bool:
        """Open it anew where its libvirt went, trying for so long; whether it had gone. Raises VirtError."""
        with suppress(libvirt.libvirtError):
            self.connection.getLibVersion()  # goes there and back: isAlive alone notices nothing
            return False
        end = time.monotonic() + seconds
        while True:
            try:
                self.connection = type(self).open(self.uri).connection
            except VirtError as error:
                if time.monotonic() >= end:
                    raise VirtError(
                        f"libvirt went and did not come back in {seconds:g} s: {error}"
                    ) from error
                time.sleep(_LOOK_SECONDS)
            else:
                return True

    def close(self) -> None:
        """Let go of it."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def told(what: str) -> Iterator[None]:
    """Turn what libvirt raises within into a VirtError: `what`, such as "no network was made", and why."""
    try:
        yield
    except libvirt.libvirtError as error:
        why, code = reason(error), error.get_error_code()
        advice = f": {_WHO_MAY}" if code == libvirt.VIR_ERR_ACCESS_DENIED else ""
        raise VirtError(f"{what}: {why}{advice}", code) from error


def reason(error: libvirt.libvirtError) -> str:
    """What libvirt says, in one line."""
    return " ".join((error.get_error_message() or str(error)).split())


def _why_closed(uri: str, error: libvirt.libvirtError) -> str:
    said = reason(error)
    if error.get_error_code() in _NO_RIGHT or any(words in said for words in _NO_RIGHT_WORDS):
        return f"libvirt at {uri} gives no right ({said}): {_WHO_MAY}"
    if "ocket" in said or "onnect to" in said:
        return f"no libvirt answers at {uri} ({said}): start libvirtd, or name another host with --connect"
    return f"libvirt at {uri} cannot be used ({said}): name one with --connect, such as qemu:///system"
