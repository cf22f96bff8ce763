"""Tests of appliance/scanning/seccomp.py: the filter is run here as the kernel would run it."""

import errno
import socket
import struct

import pytest

from appliance.scanning import seccomp

ALLOWED = 0x7FFF0000
KILLED = 0x80000000
EPERM = 0x00050000 | errno.EPERM
ENOSYS = 0x00050000 | errno.ENOSYS
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
CLONE_THREAD = 0x10000
# Linux system call numbers, from the tables of each architecture.
NUMBERS = {
    "x86_64": {
        "read": 0, "mmap": 9, "sendmsg": 46, "openat": 257, "memfd_create": 319, "execve": 59,
        "execveat": 322, "fork": 57, "ptrace": 101, "mount": 165, "unshare": 272, "bpf": 321,
        "io_uring_setup": 425, "clone": 56, "clone3": 435, "socket": 41,
    },
    "aarch64": {
        "read": 63, "mmap": 222, "sendmsg": 211, "openat": 56, "memfd_create": 279, "execve": 221,
        "execveat": 281, "ptrace": 117, "mount": 40, "unshare": 97, "bpf": 280, "io_uring_setup": 425,
        "clone": 220, "clone3": 435, "socket": 198,
    },
}  # fmt: skip
USED = {"read", "mmap", "sendmsg", "openat", "memfd_create"}
MACHINES = pytest.mark.parametrize("machine", sorted(NUMBERS))


def verdict(program: bytes, number: int, audit: int, argument: int = 0) -> int:
    """What the filter says of a call: classic BPF, of which it uses five instructions."""
    data = struct.pack("<IIQ6Q", number, audit, 0, argument, 0, 0, 0, 0, 0)
    accumulator = position = 0
    while True:
        code, if_true, if_false, value = struct.unpack_from("=HBBI", program, 8 * position)
        position += 1
        if code == 0x06:
            return int(value)
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
            continue
        holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[
            code
        ]
        position += if_true if holds else if_false


def program_of(machine: str) -> bytes:
    """The filter, which exists."""
    program = seccomp.program(machine)
    assert program is not None
    return program


@MACHINES
def test_what_engines_need_is_allowed_and_what_none_needs_is_not(machine: str) -> None:
    """Reading and memory, yes; programs, tracing, mounts and the like, no."""
    program, numbers = program_of(machine), NUMBERS[machine]
    for name in numbers.keys() - {"clone", "clone3", "socket"}:
        expected = ALLOWED if name in USED else EPERM
        assert verdict(program, numbers[name], AUDIT[machine]) == expected, name


@MACHINES
def test_threads_are_allowed_and_processes_are_not(machine: str) -> None:
    """clone is judged by its flags; clone3 is said not to exist, so that clone is used instead."""
    program, numbers = program_of(machine), NUMBERS[machine]
    assert verdict(program, numbers["clone"], AUDIT[machine], CLONE_THREAD | 0x100) == ALLOWED
    assert verdict(program, numbers["clone"], AUDIT[machine], 0x100) == EPERM
    assert verdict(program, numbers["clone3"], AUDIT[machine]) == ENOSYS


@MACHINES
def test_threads_can_be_refused_too(machine: str) -> None:
    """A filter to be added later, which says nothing of any other call."""
    program, numbers = seccomp.no_threads(machine), NUMBERS[machine]
    assert program is not None
    assert verdict(program, numbers["clone"], AUDIT[machine], CLONE_THREAD | 0x100) == EPERM
    for name in numbers.keys() - {"clone"}:
        assert verdict(program, numbers[name], AUDIT[machine]) == ALLOWED, name


@MACHINES
def test_only_local_sockets_can_be_made(machine: str) -> None:
    """That is how clamd is asked; the network stays shut twice over."""
    program, number = program_of(machine), NUMBERS[machine]["socket"]
    assert verdict(program, number, AUDIT[machine], socket.AF_UNIX) == ALLOWED
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET, socket.AF_ALG):
        assert verdict(program, number, AUDIT[machine], family) == EPERM


@MACHINES
def test_calls_of_another_architecture_kill(machine: str) -> None:
    """A number means something else there; x32 calls, which share the architecture, are refused."""
    program, read = program_of(machine), NUMBERS[machine]["read"]
    assert verdict(program, read, 0x40000003) == KILLED
    assert verdict(program, 0x40000000 | read, AUDIT[machine]) == EPERM


def test_an_unknown_machine_has_no_filter() -> None:
    """No numbers are guessed."""
    assert seccomp.program("riscv64") is None
    assert seccomp.no_threads("riscv64") is None
