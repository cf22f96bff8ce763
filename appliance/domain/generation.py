"""The 64-bit fingerprint of engines, versions and signature content.

The same content gives the same number: rolling a signature set back revives its verdicts.
"""

from collections.abc import Callable, Iterable

MASK = (1 << 64) - 1
_ODD = 0x9E3779B97F4A7C15  # 2**64 by the golden ratio: neighbours become far apart


def combine(parts: Iterable[tuple[str, str, int]], fingerprint: Callable[[bytes], int]) -> int:
    """Fold (engine, version, content fingerprint) into one generation, never 0.

    fingerprint: a 64-bit hash such as xxh3_64; passed in to keep this package free of libraries.
    The order of parts does not matter.
    """
    lines = sorted(f"{engine}\0{version}\0{content & MASK:016x}\n" for engine, version, content in parts)
    return fingerprint("".join(lines).encode()) or 1


def told(generation: int, epoch: int) -> int:
    """What guests are told as the generation, never 0: another one where KSN's word has to be heard anew.

    epoch: how often that was so, 0 for never.
    """
    return (generation ^ (epoch * _ODD & MASK)) or 1
