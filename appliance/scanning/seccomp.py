"""The system calls that a worker gives up for good: a filter the kernel runs before each call.

A list of what is denied, not of what is allowed: engines and the C library may change what they use,
but none of them starts programs, traces, mounts or opens a network connection, nor has use for the corners
of the kernel in which holes were found again and again. Denied calls fail with EPERM. A call of another
architecture (32-bit on 64-bit) kills the process, since its numbers mean other things.

Numbers: Linux, arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
Encoding: include/uapi/linux/filter.h, seccomp.h, audit.h.
"""

import errno
import socket
import struct
from dataclasses import dataclass
from typing import Final

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_IF_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_IF_AT_LEAST: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_IF_BITS: Final = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K
_ALLOW: Final = 0x7FFF0000
_KILL: Final = 0x80000000  # SECCOMP_RET_KILL_PROCESS
_FAIL: Final = 0x00050000  # SECCOMP_RET_ERRNO
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data, little-endian
_CLONE_THREAD: Final = 0x00010000
_FOREIGN_NUMBERS: Final = 0x40000000  # x32 calls on x86-64; no call of ours is so high anywhere

# The same number on every architecture since Linux 5.0.
_COMMON: Final = {
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "pidfd_getfd": 438,
    "mount_setattr": 442,
    "quotactl_fd": 443,
    "memfd_secret": 447,
}


@dataclass(frozen=True, slots=True)
class _Architecture:
    """audit: its AUDIT_ARCH number. clone, clone3, socket: calls judged by more than their number."""

    audit: int
    clone: int
    socket: int
    denied: dict[str, int]
    clone3: int = 435


_ARCHITECTURES: Final = {
    "x86_64": _Architecture(
        audit=0xC000003E,
        clone=56,
        socket=41,
        denied={
            "fork": 57,
            "vfork": 58,
            "execve": 59,
            "ptrace": 101,
            "uselib": 134,
            "personality": 135,
            "modify_ldt": 154,
            "pivot_root": 155,
            "chroot": 161,
            "mount": 165,
            "umount2": 166,
            "iopl": 172,
            "ioperm": 173,
            "init_module": 175,
            "delete_module": 176,
            "quotactl": 179,
            "io_setup": 206,
            "remap_file_pages": 216,
            "mbind": 237,
            "kexec_load": 246,
            "add_key": 248,
            "request_key": 249,
            "keyctl": 250,
            "migrate_pages": 256,
            "unshare": 272,
            "splice": 275,
            "tee": 276,
            "vmsplice": 278,
            "move_pages": 279,
            "perf_event_open": 298,
            "fanotify_init": 300,
            "name_to_handle_at": 303,
            "open_by_handle_at": 304,
            "setns": 308,
            "process_vm_readv": 310,
            "process_vm_writev": 311,
            "kcmp": 312,
            "finit_module": 313,
            "kexec_file_load": 320,
            "bpf": 321,
            "execveat": 322,
            "userfaultfd": 323,
        },
    ),
    "aarch64": _Architecture(
        audit=0xC00000B7,
        clone=220,
        socket=198,
        denied={
            "io_setup": 0,
            "umount2": 39,
            "mount": 40,
            "pivot_root": 41,
            "chroot": 51,
            "quotactl": 60,
            "vmsplice": 75,
            "splice": 76,
            "tee": 77,
            "personality": 92,
            "unshare": 97,
            "kexec_load": 104,
            "init_module": 105,
            "delete_module": 106,
            "ptrace": 117,
            "add_key": 217,
            "request_key": 218,
            "keyctl": 219,
            "execve": 221,
            "remap_file_pages": 234,
            "mbind": 235,
            "migrate_pages": 238,
            "move_pages": 239,
            "perf_event_open": 241,
            "fanotify_init": 262,
            "name_to_handle_at": 264,
            "open_by_handle_at": 265,
            "setns": 268,
            "process_vm_readv": 270,
            "process_vm_writev": 271,
            "kcmp": 272,
            "finit_module": 273,
            "bpf": 280,
            "execveat": 281,
            "userfaultfd": 282,
            "kexec_file_load": 294,
        },
    ),
}


def program(machine: str) -> bytes | None:
    """Return the filter for `machine` (as `uname -m` says it), None for one that has no table here.

    It is an array of struct sock_filter, in this machine's byte order.
    """
    architecture = _ARCHITECTURES.get(machine)
    if architecture is None:
        return None
    refuse = _one(_RETURN, _FAIL | errno.EPERM)
    allow = _one(_RETURN, _ALLOW)
    parts = [
        _one(_LOAD, _ARCHITECTURE),
        _one(_IF_EQUAL, architecture.audit, skip_if=1),
        _one(_RETURN, _KILL),
        _one(_LOAD, _NUMBER),
        _one(_IF_AT_LEAST, _FOREIGN_NUMBERS, skip_else=1),
        refuse,
        # The C library falls back from clone3, whose flags a filter cannot see, to clone.
        _one(_IF_EQUAL, architecture.clone3, skip_else=1),
        _one(_RETURN, _FAIL | errno.ENOSYS),
        # A thread, yes; a process, no.
        _one(_IF_EQUAL, architecture.clone, skip_else=4),
        _one(_LOAD, _FIRST_ARGUMENT),
        _one(_IF_BITS, _CLONE_THREAD, skip_else=1),
        allow,
        refuse,
        # Only local sockets: that is how clamd is asked.
        _one(_IF_EQUAL, architecture.socket, skip_else=4),
        _one(_LOAD, _FIRST_ARGUMENT),
        _one(_IF_EQUAL, socket.AF_UNIX, skip_else=1),
        allow,
        refuse,
    ]
    for number in sorted({**_COMMON, **architecture.denied}.values()):
        parts += [_one(_IF_EQUAL, number, skip_else=1), refuse]
    return b"".join([*parts, allow])


def no_threads(machine: str) -> bytes | None:
    """Return what refuses threads as well, to be added once all are there that a worker needs; None as above.

    The kernel's own limit (RLIMIT_NPROC) does not count for who is root outside of the sandbox.
    """
    architecture = _ARCHITECTURES.get(machine)
    if architecture is None:
        return None
    parts = [
        _one(_LOAD, _NUMBER),  # the architecture was looked at by the filter before
        _one(_IF_EQUAL, architecture.clone, skip_else=1),
        _one(_RETURN, _FAIL | errno.EPERM),
        _one(_RETURN, _ALLOW),
    ]
    return b"".join(parts)


def _one(code: int, value: int, skip_if: int = 0, skip_else: int = 0) -> bytes:
    """Return one instruction. skip_if, skip_else: how many to skip where its condition holds, or does not."""
    return struct.pack("=HBBI", code, skip_if, skip_else, value)
