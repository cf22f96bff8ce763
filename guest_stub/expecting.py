"""How many files a walk will meet: as many as the last one like it, or as a file system has inodes."""

import hashlib
import os

from guest_stub.progress import Expected
from guest_stub.walk import Selection


def name_of(selection: Selection, kind: str = "") -> bytes:
    """What stands for this walk when its number of files is remembered. kind: of what is counted."""
    words = (*selection.roots, "", *selection.exclude, str(selection.one_file_system), *filter(None, [kind]))
    return hashlib.sha256(b"\0".join(map(os.fsencode, words))).digest()[:16]


def expected(roots: tuple[str, ...], last: int) -> Expected:
    """The files of the last scan like this; else the inodes in use, where file systems are scanned whole.

    Raises OSError.
    """
    if last:
        return Expected(last, exact=True)
    if not all(map(os.path.ismount, roots)):
        return Expected()
    numbers = [os.statvfs(root) for root in roots]
    return Expected(sum(number.f_files - number.f_ffree for number in numbers))
