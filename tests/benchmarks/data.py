"""Data for the rows: digests and signatures from a seed, trees sampled from this machine's /usr."""

import hashlib
import os
import random
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DIGEST_BYTES = 32
USR = Path("/usr")
READ_BYTES = 1 << 20
MAGIC_BYTES = 512
_AT_ONCE = 1_000_000  # digests that are made at a time: Python has none of more than 256 MiB

# First bytes of what libarchive opens. YARA-X alone would not look inside, so the row that compares
# the two leaves such files out.
CONTAINER_MAGICS = (
    b"\x1f\x8b", b"PK\x03\x04", b"PK\x05\x06", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf\x27\x1c",
    b"BZh", b"MSCF", b"Rar!", b"!<arch>\n", b"\x04\x22\x4d\x18", b"0707", b"\x1f\x9d", b"LZIP", b"JM\x01",
)  # fmt: skip


def write_digests(path: Path, count: int, seed: int = 1) -> None:
    """Write `count` random digests to a file, one after another."""
    numbers = random.Random(seed)
    with path.open("wb") as file:
        for first in range(0, count, _AT_ONCE):
            file.write(numbers.randbytes(min(_AT_ONCE, count - first) * DIGEST_BYTES))


def split_digests(raw: bytes) -> list[bytes]:
    """Return the digests that a file of write_digests holds."""
    return list(each_digest(raw))


def each_digest(raw: bytes) -> Iterator[bytes]:
    """Yield them, for a file of which not all are to be objects at a time."""
    return (raw[first : first + DIGEST_BYTES] for first in range(0, len(raw), DIGEST_BYTES))


@dataclass(frozen=True, slots=True)
class Tree:
    """A directory of files. total: bytes of all files; unique: bytes of the different contents."""

    top: Path
    files: tuple[Path, ...]
    total: int
    unique: int


def regular_files(top: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield path and lstat of each regular file below `top`, each inode once, in a stable order."""
    seen: set[tuple[int, int]] = set()
    for directory, folders, names in os.walk(top):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(directory, name)
            found = os.lstat(path)
            inode = (found.st_dev, found.st_ino)
            if stat.S_ISREG(found.st_mode) and inode not in seen:
                seen.add(inode)
                yield path, found


def sample(target: Path, one_in: int, plain_and_unique: bool = False, top: Path = USR) -> Tree:
    """Copy one file in `one_in` of a real tree to `target`, chosen by its path, so always the same.

    plain_and_unique: without containers, and no content twice, so that a scanner without a cache
    and without an unpacker has the very same work.
    """
    files: list[Path] = []
    contents: set[bytes] = set()
    total = unique = 0
    for path, _ in regular_files(top):
        if zlib.crc32(os.fsencode(path)) % one_in or not os.access(path, os.R_OK):
            continue
        content = Path(path).read_bytes()
        digest = hashlib.sha256(content).digest()
        if plain_and_unique and (digest in contents or looks_packed(content)):
            continue
        copy = target / os.path.relpath(path, top)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content)
        files.append(copy)
        total += len(content)
        unique += 0 if digest in contents else len(content)
        contents.add(digest)
    return Tree(target, tuple(files), total, unique)


def looks_packed(content: bytes) -> bool:
    """Whether the first bytes are those of a container or a compressed file."""
    return (
        content.startswith(CONTAINER_MAGICS)
        or content[257:262] == b"ustar"
        or content[32769:32774] == b"CD001"
    )


def small_files(target: Path, count: int, contents: int, size: int = 256) -> None:
    """Write `count` files that share `contents` different contents of `size` bytes, 500 to a directory."""
    source = random.Random(count)
    texts = [source.randbytes(size // 2).hex().encode() for _ in range(contents)]
    for number in range(count):
        directory = target / f"{number // 500:04d}"
        if number % 500 == 0:
            directory.mkdir(parents=True)
        (directory / f"file-{number:06d}.txt").write_bytes(texts[number % contents])


def read_all(top: Path) -> None:
    """Read every file once, so that all of them are in the page cache."""
    for path, _ in regular_files(top):
        with open(path, "rb", buffering=0) as file:
            while file.read(READ_BYTES):
                pass


def write_clam_signatures(target: Path, count: int, seed: int = 1) -> None:
    """Write `count` signatures for clamd: four in five of bytes with gaps (.ndb), others hashes (.hsb)."""
    source = random.Random(seed)
    bodies, hashes = [], []
    for number in range(count):
        if number % 5 == 0:
            hashes.append(
                f"{source.randbytes(32).hex()}:{source.randrange(100, 1 << 20)}:Bench.Hash-{number}"
            )
        else:
            parts = [source.randbytes(source.randint(6, 14)).hex() for _ in range(source.randint(1, 3))]
            gap = source.choice(("*", "{4-12}", "??"))
            bodies.append(f"Bench.Body-{number}:{source.choice((0, 0, 0, 1, 6))}:*:{gap.join(parts)}")
    target.mkdir(parents=True, exist_ok=True)
    (target / "bench.ndb").write_text("\n".join(bodies) + "\n")
    (target / "bench.hsb").write_text("\n".join(hashes) + "\n")
