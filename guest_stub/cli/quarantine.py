"""`guest-stub quarantine`: what was taken away is listed, shown, put back, deleted, handed out."""

import json
import os
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guest_stub.cli.setup import Setup
from guest_stub.console import printable
from guest_stub.remediation.about import about
from guest_stub.remediation.done import Refused
from guest_stub.remediation.exporting import PASSWORD, export_raw, export_zip
from guest_stub.remediation.facts import Entry
from guest_stub.remediation.quarantine import Broken, Quarantine


class NeverRan(Refused):
    """There is no state directory, so nothing was ever taken; the message says so."""


@dataclass(frozen=True, slots=True)
class Says:
    """Where lines go: results, and what went wrong."""

    out: Callable[[str], None]
    err: Callable[[str], None]


def quarantine(options: Namespace, setup: Setup, says: Says) -> int:
    """Do what the options say; the exit code. Raises Refused, ConfigError and OSError."""
    _check_there(setup.store.directory)
    opened = Quarantine(setup.quarantine)
    try:
        if options.todo in ("restore", "delete"):
            for sentence in opened.tidy():
                says.err(f"guest-stub: {sentence}")
        if options.todo == "list":
            return _list(opened, setup.quarantine.bounds.bytes, options.json, says)
        if options.todo == "show":
            return _show(opened.entry(options.id), options.json, says)
        if options.todo == "restore":
            return _restore(opened, options.id, options.to, says)
        if options.todo == "delete":
            return _delete(opened, options, says)
        return _export(opened, options, says)
    finally:
        opened.close()


def _check_there(state: Path) -> None:
    """Raise NeverRan for a directory that is not there: to make it would hide that it is the wrong one."""
    try:
        state.stat()
    except FileNotFoundError:
        raise NeverRan(f"{state} is not there: no stub has run on it; give the --state of one") from None
    except OSError:
        pass  # which is told when it is opened


def _list(opened: Quarantine, bound: int, as_json: bool, says: Says) -> int:
    count = size = broken = 0
    for entry in opened.entries():
        count += 1
        if isinstance(entry, Broken):
            broken += 1
        else:
            size += entry.size
        says.out(json.dumps(_object(entry)) if as_json else _line(entry))
    if as_json:
        summary = {"type": "summary", "files": count, "bytes": size, "broken": broken, "bound_bytes": bound}
        says.out(json.dumps(summary))
    else:
        says.out(f"{count:,} files, {size:,} bytes; the bound is {bound:,} bytes")
    return 2 if broken else 0


def _line(entry: Entry | Broken) -> str:
    if isinstance(entry, Broken):
        return f"{entry.id}  CANNOT BE OPENED ({printable(entry.why)})"
    told = about(entry)
    path = printable(os.fsdecode(entry.path)) or "(no known path)"
    threat = printable(entry.judged.threat) or "unnamed"
    return f"{entry.id}  {told['sealed_at']}  {entry.size:>13,}  {threat}  {path}"


def _object(entry: Entry | Broken) -> dict[str, Any]:
    if isinstance(entry, Broken):
        return {"type": "broken", "id": entry.id, "reason": entry.why}
    return {"type": "quarantined", **about(entry)}


def _show(entry: Entry, as_json: bool, says: Says) -> int:
    if as_json:
        says.out(json.dumps(_object(entry)))
        return 0
    for name, value in about(entry).items():
        if name == "xattrs":
            for xattr, data in value.items():
                says.out(f"xattr: {printable(xattr)} = {data}")
        elif name == "not_kept":
            for xattr in value:
                says.out(f"not kept: {printable(xattr)}")
        else:
            says.out(f"{name.replace('_', ' ')}: {printable(str(value))}")
    return 0


def _restore(opened: Quarantine, id: str, to: str | None, says: Says) -> int:
    restored = opened.restore(id, None if to is None else os.fsencode(to))
    path = to or os.fsdecode(restored.entry.path)
    says.out(f"restored: {printable(path)}")
    for sentence in restored.left:
        says.err(f"guest-stub: {printable(sentence)}")
    digest = restored.entry.judged.sha256.hex()
    says.err(
        "guest-stub: its verdict is what it was: it is detected again, unless an administrator of the SVM "
        f"allows it: svm verdicts set {digest} --allow --reason TEXT"
    )
    return 2 if restored.left else 0


def _delete(opened: Quarantine, options: Namespace, says: Says) -> int:
    ids = [entry.id for entry in opened.entries()] if options.all else options.ids
    code = 0
    for id in ids:
        try:
            opened.drop(id)
            says.out(f"deleted: {printable(id)}")
        except Refused as problem:
            says.err(f"guest-stub: {printable(str(problem))}")
            code = 2
    return code


def _export(opened: Quarantine, options: Namespace, says: Says) -> int:
    with opened.opened(options.id) as (entry, content):
        if options.raw:
            export_raw(entry, content, os.fsencode(options.file))
            says.out(f"exported, bare and dangerous: {printable(options.file)}")
        else:
            export_zip(entry, content, os.fsencode(options.file))
            says.out(f'exported, with the password "{PASSWORD}": {printable(options.file)}')
    return 0
