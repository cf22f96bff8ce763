"""What a worker gives up by itself, before it looks at the first byte that a guest sent.

The sandbox puts walls around the process; this bounds what goes on inside of them. All of it can
only be made tighter afterwards, never looser.
"""

import ctypes
import os
import resource
import signal
from dataclasses import dataclass
from typing import Final

from appliance.scanning import seccomp

_PR_SET_PDEATHSIG: Final = 1  # include/uapi/linux/prctl.h
_PR_SET_DUMPABLE: Final = 4
_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_MODE_FILTER: Final = 2
_INSTRUCTION_BYTES: Final = 8
_LESS_URGENT: Final = 10  # scans take the processors that the front, which answers all guests, leaves


@dataclass(frozen=True, slots=True)
class Confinement:
    """How much a worker may take.

    private_bytes: memory of its own (heap, private mappings). address_bytes: all address space, which
    also holds the mapped signatures and contents, and what engines reserve without using it.
    file_bytes: the largest file it may make, which can only be a memory file. descriptors: open at
    once. processes: threads and processes; 0 leaves it as it is.
    """

    private_bytes: int
    address_bytes: int
    file_bytes: int
    descriptors: int = 64
    processes: int = 64


class _Program(ctypes.Structure):
    """struct sock_fprog: how many instructions, and where they are."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def confine(bounds: Confinement) -> bool:
    """Give up what is not needed, for good. Returns whether the system call filter is in force.

    The filter is left out on an architecture that it has no table for and on a kernel without
    seccomp; the rest of the sandbox stands without it. Raises OSError where anything else fails.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C on a terminal is for the front to judge
    os.nice(_LESS_URGENT)
    libc = ctypes.CDLL(None, use_errno=True)
    _prctl(libc, _PR_SET_PDEATHSIG, signal.SIGKILL)
    _prctl(libc, _PR_SET_DUMPABLE, 0)
    _prctl(libc, _PR_SET_NO_NEW_PRIVS, 1)
    _lower(resource.RLIMIT_DATA, bounds.private_bytes)
    _lower(resource.RLIMIT_AS, bounds.address_bytes)
    _lower(resource.RLIMIT_FSIZE, bounds.file_bytes)
    _lower(resource.RLIMIT_NOFILE, bounds.descriptors)
    _lower(resource.RLIMIT_CORE, 0)
    if bounds.processes:
        _lower(resource.RLIMIT_NPROC, bounds.processes)
    return _filter(libc, seccomp.program(os.uname().machine))


def no_more_threads() -> bool:
    """Give up starting threads, for good; those that there are go on. Returns whether that is in force.

    To be called after `confine`, where it said that the filter is.
    """
    return _filter(ctypes.CDLL(None, use_errno=True), seccomp.no_threads(os.uname().machine))


def _filter(libc: ctypes.CDLL, instructions: bytes | None) -> bool:
    """Add a filter of system calls for all threads; whether the kernel has taken it."""
    if instructions is None:
        return False
    program = _Program(len(instructions) // _INSTRUCTION_BYTES, instructions)
    refused: int = libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0)
    return refused == 0


def _prctl(libc: ctypes.CDLL, option: int, value: int) -> None:
    if libc.prctl(option, value, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl {option}: {os.strerror(code)}")


def _lower(what: int, limit: int) -> None:
    """Set a limit for good; one that is lower already stays."""
    hard = resource.getrlimit(what)[1]
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(what, (limit, limit))
