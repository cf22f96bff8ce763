"""svm backup, svm restore: what must not be lost, in one file, and back."""

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from appliance.cli.console import DONE, CommandError, Console, add_json_argument, exit_codes, pairs
from appliance.cli.times import iso, shown
from appliance.config import load
from appliance.state.backup import BackupTerms, back_up
from appliance.state.backup_file import IDENTITY, BadBackup, Manifest
from appliance.state.environment import StateError
from appliance.state.restore import Restored, restore
from appliance.version import program_version

_BACK_UP = """Writes what must not be lost into one file: overrides and their audit, policies and every
decision, the disclosure ledger, guests and certificates, ordered scans, events, and the appliance's
identity with the key of its CA. The verdict cache and who holds which file are not in it: they are
earned anew.

The SVM may serve meanwhile, and nobody waits: the file has the state of one moment. It appears whole
or not at all, readable to you alone. Keep it as safe as the SVM: who has it can act as the SVM's CA."""

_RESTORE = """Puts a backup into the state directory of an SVM that does not run. All of it is checked before
the state that is there is touched; with --force that one is set aside, in a directory beside, and not
deleted. A state of an older version is upgraded, one of a newer refused. Killed at any moment it
leaves the old state or the new; an SVM that starts ends what was begun.

What changed since the backup was made is undone, revocations of certificates and consent to KSN too:
look through them before you start the SVM."""

_BACK_UP_EPILOG = f"""examples:
  svm backup /srv/backups/svm-1.backup
  svm backup --force --config /etc/kvm-light-agent/svm.toml /srv/backups/latest.backup

{exit_codes()}"""

_RESTORE_EPILOG = f"""examples:
  svm restore /srv/backups/svm-1.backup
  svm restore --force --dir /var/lib/kvm-light-agent /srv/backups/svm-1.backup

{exit_codes()}"""


def add(commands: Any) -> None:
    """Enter both commands. commands: what argparse's add_subparsers gave."""
    made: argparse.ArgumentParser = commands.add_parser(
        "backup",
        help="write all that must not be lost into one file",
        description=_BACK_UP,
        epilog=_BACK_UP_EPILOG,
    )
    made.add_argument("file", metavar="FILE", type=Path)
    made.add_argument("--force", action="store_true", help="replace FILE where it is there")
    _add_place(made)
    made.set_defaults(run=_back_up)
    back: argparse.ArgumentParser = commands.add_parser(
        "restore", help="bring that back", description=_RESTORE, epilog=_RESTORE_EPILOG
    )
    back.add_argument("file", metavar="FILE", type=Path)
    back.add_argument("--force", action="store_true", help="set the state aside that is there")
    _add_place(back)
    back.set_defaults(run=_restore)


def _add_place(parser: argparse.ArgumentParser) -> None:
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--config", metavar="FILE", type=Path, help="the SVM's settings (KVMLA_CONFIG)")
    place.add_argument("--dir", "--state-dir", metavar="DIR", type=Path, help="the SVM's state directory")
    add_json_argument(parser)


def _back_up(args: argparse.Namespace, console: Console) -> int:
    terms = BackupTerms(console.clock(), program_version(), args.force)
    try:
        manifest = back_up(_directory(args, console), args.file, terms)
    except (BadBackup, StateError) as error:
        raise CommandError(str(error)) from error
    if args.json:
        console.say_json({"file": str(args.file), **_as_dict(manifest)})
    else:
        console.say(*pairs([("written", args.file), *_as_rows(manifest)]))
    return DONE


def _restore(args: argparse.Namespace, console: Console) -> int:
    directory = _directory(args, console)
    stamp = f"{datetime.fromtimestamp(console.clock(), UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}"
    try:
        done = restore(args.file, directory, stamp, args.force)
    except (BadBackup, StateError) as error:
        raise CommandError(str(error)) from error
    if args.json:
        kept = str(done.kept) if done.kept else None
        console.say_json({"directory": str(directory), "kept": kept, **_as_dict(done.manifest)})
    else:
        console.say(*_restored(directory, done))
    return DONE


def _directory(args: argparse.Namespace, console: Console) -> Path:
    directory: Path = args.dir or load(args.config, console.environ).server.state_dir
    return directory


def _restored(directory: Path, done: Restored) -> list[str]:
    aside = [("the old state", f"lies at {done.kept}; delete it when nobody wants it")] if done.kept else []
    return pairs([("restored", directory), *_as_rows(done.manifest), *aside])


def _as_rows(manifest: Manifest) -> list[tuple[str, object]]:
    identity = sum(name.startswith(IDENTITY) for name in manifest.names())
    files = [part for part in manifest.parts if not part.name.startswith(IDENTITY)]
    return [
        ("made", f"{shown(manifest.made_at)} by svm {manifest.program}"),
        *((part.name, f"{part.bytes:,} bytes") for part in files),
        ("identity", f"{identity} files" if identity else "none"),
    ]


def _as_dict(manifest: Manifest) -> dict[str, Any]:
    return {
        "made_at": iso(manifest.made_at),
        "program": manifest.program,
        "schemas": dict(manifest.schemas),
        "parts": [{"name": part.name, "bytes": part.bytes, "sha256": part.sha256} for part in manifest.parts],
    }
