"""Contents that an SVM detected, by digest: what is known to be bad stays so while nobody can be asked.

A decision hangs on a file as it is; its owner moves its times, renames it or makes another copy, and the
content is the same. In memory, and in a file that outlives the stub:

sha256, outcome u8 (0: no more), threat in UTF-8, padded with zeros; then the xxh3_64 of these: 128 bytes
each, appended as they come, written anew when there are twice as many as count. The newest MOST count.
"""

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from struct import Struct
from typing import Final

from xxhash import xxh3_64_digest

from guest_stub.outcome import DETECTIONS, VERDICTS, Outcome
from guest_stub.svm_link.values import LinkAnswer

FILE: Final = "detected"
MOST: Final = 4096
_NEW: Final = "detected.new"
_FIELDS: Final = Struct("<32sB87s")
_SUM_BYTES: Final = 8
ENTRY_BYTES: Final = _FIELDS.size + _SUM_BYTES
_MOST_BYTES: Final = 2 * MOST * ENTRY_BYTES
_OPEN: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_NO_MORE: Final = 0


class Detected:
    """One directory's. Serves one event loop.

    problem: a sentence where the disk does not let it be kept; then it counts in this run.
    """

    def __init__(self, directory: Path) -> None:
        """Take up what an earlier run left; raises nothing."""
        self.problem = ""
        self._path = directory / FILE
        self._kept: dict[bytes, LinkAnswer] = {}
        self._threats: dict[tuple[int, str], LinkAnswer] = {}  # one answer stands for all that are alike
        self._fd, self._size = -1, 0
        try:
            self._take_up()
        except OSError as problem:
            self._failed(problem)

    def _take_up(self) -> None:
        self._fd = os.open(self._path, _OPEN, 0o600)
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "no regular file")
        data = os.pread(self._fd, _MOST_BYTES, 0)
        for at in range(0, len(data) - ENTRY_BYTES + 1, ENTRY_BYTES):
            self._read(data[at : at + ENTRY_BYTES])
        self._size = len(data) - len(data) % ENTRY_BYTES
        if self._size != status.st_size:  # a killed stub's last one, or more than there may be
            os.ftruncate(self._fd, self._size)

    def _read(self, entry: bytes) -> None:
        if xxh3_64_digest(entry[:-_SUM_BYTES]) != entry[-_SUM_BYTES:]:
            return
        sha256, outcome, threat = _FIELDS.unpack(entry[:-_SUM_BYTES])
        if outcome == _NO_MORE:
            self._kept.pop(sha256, None)
        elif outcome in DETECTIONS:
            self._put(sha256, outcome, threat.rstrip(b"\0").decode("utf-8", "replace"))

    def recall(self, sha256: bytes) -> LinkAnswer | None:
        """What an SVM said of a content that it detected, as an answer that is not for keeping."""
        return self._kept.get(sha256)

    def heard(self, sha256: bytes, answer: LinkAnswer) -> None:
        """What an SVM says of a content now: a detection is kept, another verdict ends one."""
        if answer.outcome in DETECTIONS:
            known = self._kept.get(sha256)
            self._put(sha256, answer.outcome, answer.threat)
            if known is None or known.outcome is not answer.outcome:
                self._write(sha256, answer.outcome, answer.threat)
        elif answer.outcome in VERDICTS:
            self.forget([sha256])

    def forget(self, digests: Iterable[bytes]) -> None:
        """These are detected no more, or it is to be found out anew."""
        for sha256 in digests:
            if self._kept.pop(sha256, None) is not None:
                self._write(sha256, _NO_MORE, "")

    def _put(self, sha256: bytes, outcome: int, threat: str) -> None:
        alike = (outcome, threat)
        if alike not in self._threats:
            if len(self._threats) >= MOST:
                self._threats.clear()
            self._threats[alike] = LinkAnswer(Outcome(outcome), threat=threat)
        self._kept.pop(sha256, None)  # the one that was heard of last goes last
        self._kept[sha256] = self._threats[alike]
        if len(self._kept) > MOST:
            del self._kept[next(iter(self._kept))]

    def _write(self, sha256: bytes, outcome: int, threat: str) -> None:
        if self._fd < 0:
            return
        try:
            if self._size >= _MOST_BYTES:
                self._write_anew()
            else:
                self._size += os.write(self._fd, _entry(sha256, outcome, threat))
                if whole := self._size % ENTRY_BYTES:
                    self._size -= whole
                    os.ftruncate(self._fd, self._size)
        except OSError as problem:
            self._failed(problem)

    def _write_anew(self) -> None:
        """Put what counts into a new file; raises OSError."""
        new = self._path.with_name(_NEW)
        fd = os.open(new, _OPEN | os.O_TRUNC, 0o600)
        data = b"".join(_entry(each, said.outcome, said.threat) for each, said in self._kept.items())
        if os.write(fd, data) != len(data):
            os.close(fd)
            raise OSError(errno.ENOSPC, "no room")
        os.replace(new, self._path)
        os.close(self._fd)
        self._fd, self._size = fd, len(data)

    def _failed(self, problem: OSError) -> None:
        self.problem = (
            f"{self._path}: {problem.strerror}: contents that are detected from now on are forgotten when "
            "the stub ends"
        )
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _entry(sha256: bytes, outcome: int, threat: str) -> bytes:
    body = _FIELDS.pack(sha256, outcome, threat.encode("utf-8", "replace"))
    return body + xxh3_64_digest(body)
