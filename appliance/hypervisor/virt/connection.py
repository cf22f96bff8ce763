"""A host's libvirt: opened, and asked; what it complains of becomes a sentence.

Calls block: who serves others asks from a thread.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import libvirt

# What libvirt says in its own words on stderr, besides raising it.
libvirt.registerErrorHandler(lambda _context, _error: None, None)


class VirtError(Exception):
    """libvirt cannot do it. The message says what and what to do. code: libvirt's VIR_ERR_*, 0 for none."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class VirtHost:
    """An open connection. uri: by which it was opened."""

    uri: str
    connection: libvirt.virConnect

    @classmethod
    def open(cls, uri: str) -> Self:
        """Connect. Raises VirtError where there is no libvirt, or it gives no right."""
        try:
            return cls(uri, libvirt.open(uri))
        except libvirt.libvirtError as error:
            raise VirtError(_why_closed(uri, error), error.get_error_code()) from error

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
        raise VirtError(f"{what}: {reason(error)}", error.get_error_code()) from error


def reason(error: libvirt.libvirtError) -> str:
    """What libvirt says, in one line."""
    return " ".join((error.get_error_message() or str(error)).split())


def _why_closed(uri: str, error: libvirt.libvirtError) -> str:
    said, code = reason(error), error.get_error_code()
    if code in (libvirt.VIR_ERR_AUTH_FAILED, libvirt.VIR_ERR_AUTH_CANCELLED) or "ermission" in said:
        return f"libvirt at {uri} gives no right ({said}): be root or of the group libvirt"
    if "ocket" in said or "onnect to" in said:
        return f"no libvirt answers at {uri} ({said}): start libvirtd, or name another host with --connect"
    return f"libvirt at {uri} cannot be used ({said}): name one with --connect, such as qemu:///system"
