"""Hands a file of the quarantine to somebody who takes it apart: in a ZIP under a known password, or bare.

The file appears when it is whole and its content was found to be what was sealed. The entry stays.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from guest_stub.remediation.about import about
from guest_stub.remediation.directories import given_place
from guest_stub.remediation.done import Refused
from guest_stub.remediation.facts import Entry
from guest_stub.remediation.new_file import NewFile, new_file
from guest_stub.remediation.sealed import write_all
from guest_stub.remediation.zip_aes import ZipWriter

PASSWORD = "infected"  # noqa: S105 - the custom of those who pass samples on; everybody knows it


class NotExported(Refused):
    """The file was not written; the message says why and what to do."""


def export_zip(entry: Entry, content: Iterable[bytes], to: bytes) -> None:
    """Write a ZIP of the content, named by its SHA-256, and of what is known of it, as JSON.

    Raises NotExported, sealed.Damaged and OSError; then there is no file.
    """
    name, told = entry.judged.sha256.hex(), json.dumps(about(entry), indent=2).encode()
    with _file(to) as new:
        archive = ZipWriter(lambda data: write_all(new.fd, data), PASSWORD.encode())
        archive.member(f"{name}.json", len(told), [told])
        archive.member(name, entry.size, content)
        archive.close()


def export_raw(entry: Entry, content: Iterable[bytes], to: bytes) -> None:
    """Write the bare content, readable by its owner alone. Raises as export_zip() does."""
    with _file(to) as new:
        for piece in content:
            write_all(new.fd, piece)
        assert os.fstat(new.fd).st_size == entry.size


@contextmanager
def _file(to: bytes) -> Iterator[NewFile]:
    try:
        with given_place(to) as place, new_file(*place) as new:
            yield new
            new.show()
    except FileExistsError:
        raise NotExported(f"{os.fsdecode(to)} is there already: name another file") from None
