"""Tests of giving back memory, and of not taking it."""

import mmap
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from guest_stub.pages import release
from tests.support.apart import ROOT, environment
from tests.support.page_cache import mapped_bytes

SIZE = 8 << 20


def test_what_was_read_counts_no_more_and_can_be_read_again(tmp_path: Path) -> None:
    """Also what was written since."""
    path = tmp_path / "a file"
    path.write_bytes(b"x" * SIZE)
    with path.open("r+b") as file, closing(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)) as mapped:
        assert mapped[:].count(b"x") == SIZE
        assert mapped_bytes(path) == SIZE
        assert release(path) == 1
        assert mapped_bytes(path) == 0
        file.write(b"y")
        file.flush()
        assert mapped[:2] == b"yx"


def test_other_files_and_private_mappings_are_left(tmp_path: Path) -> None:
    """What was written into a private mapping would be lost."""
    path, other = tmp_path / "file", tmp_path / "other file"
    for each in (path, other):
        each.write_bytes(b"x" * SIZE)
    with path.open("r+b") as file, closing(mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE)) as mapped:
        mapped[0] = ord("y")
        assert release(path) == 0
        assert release(other) == 0
        assert mapped[0] == ord("y")


_BLANK = """
from guest_stub.pages import blank
def resident():
    return int(next(line for line in open("/proc/self/status") if line.startswith("RssAnon")).split()[1])
before = resident()
view = blank(100 << 20)
view[-3:] = b"end"
print(len(view), bytes(view[-4:]), resident() - before < 10_000)
"""


def test_only_what_is_written_into_is_taken() -> None:
    """Of a hundred megabytes a page."""
    ended = subprocess.run(
        [sys.executable, "-c", _BLANK], cwd=ROOT, env=environment(), capture_output=True, check=True
    )
    assert ended.stdout == b"104857600 b'\\x00end' True\n"


_TRIMMED = """
import ctypes
from guest_stub.pages import trim
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, (ctypes.c_void_p,)
def resident():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1])
blocks = [libc.malloc(50_000) for _ in range(2000)]
for block in blocks:
    ctypes.memset(block, 1, 50_000)
for block in blocks[:-1]:  # the last one keeps the C library from giving back what is below it
    libc.free(block)
before = resident()
trim()
print(before - resident())
"""


_SHARED = """
import ctypes, re, threading
from guest_stub.pages import share_one_arena
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
share_one_arena()
def use(addresses):
    addresses.append(libc.malloc(100))
threads, addresses = [], []
for _ in range(4):
    threads.append(threading.Thread(target=use, args=(addresses,)))
    threads[-1].start()
    threads[-1].join()
with open("/proc/self/maps") as maps:
    first, end = re.search(r"^(\\w+)-(\\w+) .*\\[heap\\]$", maps.read(), re.M).groups()
print(all(int(first, 16) <= address < int(end, 16) for address in addresses))
"""


def test_threads_share_what_was_freed() -> None:
    """They take memory from the process's own heap: no thread begins one for itself."""
    ended = subprocess.run(
        [sys.executable, "-c", _SHARED], cwd=ROOT, env=environment(), capture_output=True, check=True
    )
    assert ended.stdout == b"True\n"


def test_what_was_freed_counts_no_more() -> None:
    """Of a hundred megabytes that the C library kept nearly all are gone."""
    ended = subprocess.run(
        [sys.executable, "-c", _TRIMMED], cwd=ROOT, env=environment(), capture_output=True, check=True
    )
    assert int(ended.stdout) > 80_000
