"""How much one file may unpack to: counted over all of its members, however deep they stand."""

from appliance.config import UnpackLimits

MIB = 1024 * 1024
# A small file of zeros packs a thousandfold and harms nobody: the ratio counts from here on.
RATIO_COUNTS_FROM_BYTES = 16 * MIB
ENTRIES_PER_MEMBER = 4  # a member is named once; twice, in each of two directories of one zip
HEADER_BYTES = 4096  # what a container may say of a member beside its bytes: names, times, padding


class TooLarge(Exception):
    """A limit of unpacking is reached. The message names the limit and the setting that moves it."""


class Budget:
    """What is left for the members of one file of `size` bytes."""

    def __init__(self, limits: UnpackLimits, size: int) -> None:
        """Start with nothing spent."""
        self._limits = limits
        self._size = size
        self._members = 0
        self._entries = 0
        self._total = 0
        self._streamed = 0
        by_ratio = max(size * limits.max_ratio, RATIO_COUNTS_FROM_BYTES)
        self._most = min(limits.max_total_mib * MIB, by_ratio)
        self._most_of_member = limits.max_member_mib * MIB

    def descend(self, depth: int) -> None:
        """Account for a container whose members stand `depth` deep, 1 for those of the file itself."""
        if depth > self._limits.max_depth:
            raise TooLarge(
                f"containers stand in each other more than {self._limits.max_depth} deep (unpack.max_depth)"
            )

    def add_member(self) -> None:
        """Account for one more member, also of those that hold nothing."""
        self._members += 1
        if self._members > self._limits.max_members:
            raise TooLarge(f"it holds more than {self._limits.max_members} members (unpack.max_members)")

    def add_entry(self) -> None:
        """Account for one entry of a zip's directory: many may name one member, and many directories them."""
        self._entries += 1
        most = self._limits.max_members * ENTRIES_PER_MEMBER
        if self._entries > most:
            raise TooLarge(f"its directories name members more than {most} times (unpack.max_members)")

    def add_bytes(self, count: int, member_size: int) -> None:
        """Account for `count` more bytes before they are kept; the member has `member_size` with them."""
        self._total += count
        if member_size > self._most_of_member:
            raise TooLarge(f"a member is over {self._limits.max_member_mib} MiB (unpack.max_member_mib)")
        if self._total > self._most:
            raise TooLarge(self._total_sentence())

    def add_stream(self, count: int) -> None:
        """Account for `count` more bytes that a compressor packed, before they are read as a container.

        Members are among them, and headers, and what pads the end, of which no member tells.
        """
        self._streamed += count
        if self._streamed > self._most + self._members * HEADER_BYTES:
            raise TooLarge(self._total_sentence())

    def _total_sentence(self) -> str:
        if self._most == self._limits.max_total_mib * MIB:
            return f"it unpacks to more than {self._limits.max_total_mib} MiB (unpack.max_total_mib)"
        return f"{self._size} bytes unpack to more than {self._most} (unpack.max_ratio)"
