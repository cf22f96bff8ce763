"""Bytes that were something once: a seed, and a few changes such as files and messages suffer."""

from collections.abc import Callable, Sequence
from pathlib import Path

from hypothesis import strategies as st

SEEDS = Path(__file__).with_name("seeds")
MOST_CHANGES = 6
# Numbers at which counts, lengths and offsets go wrong, in either byte order.
_EDGES = tuple(
    number.to_bytes(size, order)
    for size in (1, 2, 4, 8)
    for order in ("little", "big")
    for number in (0, 1, (1 << 8 * size - 1) - 1, 1 << 8 * size - 1, (1 << 8 * size) - 1)
)

Change = Callable[[bytes], bytes]


def seeds(directory: str) -> list[tuple[str, bytes]]:
    """The names and contents of the seeds of one kind, in order."""
    return [(path.name, path.read_bytes()) for path in sorted((SEEDS / directory).iterdir())]


def mutated(sound: st.SearchStrategy[bytes], words: Sequence[bytes] = ()) -> st.SearchStrategy[bytes]:
    """Sound bytes after at most MOST_CHANGES changes. words: what means something to the parser."""
    return st.builds(_apply, sound, st.lists(_changes(words), min_size=1, max_size=MOST_CHANGES))


def _apply(data: bytes, changes: list[Change]) -> bytes:
    for change in changes:
        data = change(data)
    return data


class _Changed:
    """One change, with a name for the example that hypothesis prints. place: in 65,536ths of the whole."""

    def __init__(self, place: int, length: int, put: bytes, how: str) -> None:
        self._place, self._length, self._put, self._how = place, length, put, how

    def __call__(self, data: bytes) -> bytes:
        at = self._place * len(data) >> 16
        piece = data[at : at + self._length]
        match self._how:
            case "cut off":
                return data[:at]
            case "remove":
                return data[:at] + data[at + self._length :]
            case "repeat":
                return data[:at] + piece * 3 + data[at:]
            case "insert":
                return data[:at] + self._put + data[at:]
            case "flip":
                flipped = bytes(byte ^ 1 << self._length % 8 for byte in data[at : at + 1])
                return data[:at] + flipped + data[at + 1 :]
        return data[:at] + self._put + data[at + len(self._put) :]

    def __repr__(self) -> str:
        return f"{self._how}({self._place}, {self._length}, {self._put!r})"


def _changes(words: Sequence[bytes]) -> st.SearchStrategy[Change]:
    put = st.sampled_from(_EDGES) | st.binary(min_size=1, max_size=8)
    if words:
        put |= st.sampled_from(words)
    how = st.sampled_from(["overwrite", "flip", "insert", "remove", "repeat", "cut off"])
    return st.builds(_Changed, st.integers(0, 0xFFFF), st.integers(1, 40), put, how)
