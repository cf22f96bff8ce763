"""Owners and modes of what lies in the state directory, and what was left behind there."""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from appliance.doctor.findings import Finding, amiss, mib, note, ok, several
from appliance.identity.files import DIRECTORY

MAX_FILES = 10_000

_OTHERS_WRITE = 0o022
_OTHERS = 0o077


@dataclass(frozen=True, slots=True)
class Lying:
    """A file, or a directory that holds secrets. name: below the state directory."""

    name: str
    status: os.stat_result


def lying(directory: Path) -> list[Lying]:
    """What lies in a state directory, MAX_FILES of it at the most. Raises OSError."""
    found: list[Lying] = []
    for prefix, where in (("", directory), (f"{DIRECTORY}/", directory / DIRECTORY)):
        if not where.is_dir():
            continue
        with os.scandir(where) as entries:
            for entry in entries:
                if len(found) == MAX_FILES:
                    break
                with suppress(FileNotFoundError):  # an SVM that serves takes some away
                    found.append(Lying(f"{prefix}{entry.name}", entry.stat(follow_symlinks=False)))
    return sorted(found, key=lambda each: each.name)


def file_findings(directory: Path, found: Iterable[Lying]) -> Iterator[Finding]:
    """Whether everything is the SVM's alone. found: what `lying` gave for the directory. Raises OSError."""
    found, own = list(found), directory.stat()
    if own.st_mode & _OTHERS_WRITE:
        mode = stat.S_IMODE(own.st_mode)
        yield amiss(
            "state directory", f"others may write in {directory} ({mode:04o}): `chmod go-w {directory}`"
        )
    foreign = [each.name for each in found if each.status.st_uid != own.st_uid]
    if foreign:
        whose = f"`chown -R {own.st_uid}:{own.st_gid} {directory}`"
        yield amiss(
            "owners",
            f"not of the directory's owner, which is who the SVM runs as: {several(foreign)}: {whose}",
        )
    for what, kind in (("links", stat.S_ISLNK), ("modes", None)):
        names = [each.name for each in found if _is_wrong(each, kind)]
        if names and kind is not None:
            yield amiss(what, f"no files of an SVM: {several(names)}: remove them")
        elif names:
            yield amiss(what, f"others may use {several(names)}: `chmod -R go= {directory}`")
    if not foreign and not any(_is_wrong(each, None) for each in found):
        yield ok("files", f"{len(found)} in {directory}, for its owner (user {own.st_uid}) alone")
    yield from _left(found)


def _is_wrong(each: Lying, kind: object) -> bool:
    if kind is stat.S_ISLNK:
        return stat.S_ISLNK(each.status.st_mode)
    return not stat.S_ISLNK(each.status.st_mode) and bool(each.status.st_mode & _OTHERS)


def _left(found: Iterable[Lying]) -> Iterator[Finding]:
    """What was set aside, and is for somebody to look at and delete."""
    for word, why in (
        (".damaged-", "was damaged and set aside: look at it, or delete it"),
        ("before-restore-", "was the state before a restore, keys and all: delete it when nobody wants it"),
    ):
        names = [each for each in found if word in each.name]
        if names:
            size = mib(sum(each.status.st_size for each in names if stat.S_ISREG(each.status.st_mode)))
            yield note("left behind", f"{several([each.name for each in names])} ({size} in files) {why}")
