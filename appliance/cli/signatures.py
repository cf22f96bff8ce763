"""svm signatures list|reload|test: the rules and hash lists that engines use."""

import argparse
import asyncio
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightagent.v1 import admin_pb2

from appliance.cli.console import (
    DONE,
    NO,
    CommandError,
    Console,
    add_json_argument,
    add_socket_arguments,
    exit_codes,
    plain,
    table,
)
from appliance.config import ClamdSettings, EngineSettings, HashlistSettings, Settings, YaraSettings, load
from appliance.scanning.result import SignatureSource
from appliance.scanning.scanner import Scanner, ScannerError

_DESCRIPTION = """Shows, renews and tests the rules and hash lists that engines use.

A bad rule or line is reported by file and line, and the others load."""

_LIST_EPILOG = f"""example:
  svm signatures list

{exit_codes("a source has problems; they are shown")}"""

_RELOAD_EPILOG = f"""Scans go on with the old signatures until the new ones are ready. Where no source can be
loaded, the old ones stay. The lists of web addresses and the API key of KSN are read anew, too,
each whatever becomes of the others; what cannot be used is named, and the command then fails.
`kill -HUP` does the same without waiting.

example:
  svm signatures reload

{exit_codes("a source has problems; the others are in use")}"""

_TEST_EPILOG = f"""Reads signatures as the SVM would, in the same sandbox, and puts nothing in use.
Without a PATH it reads all that the settings name. No SVM needs to run.

examples:
  svm signatures test /srv/rules
  svm signatures test /srv/rules/new.yar
  svm signatures test --config /etc/kvm-light-agent/svm.toml

{exit_codes("a source has problems, or a PATH holds no signatures")}"""


def add(commands: Any) -> None:
    """Enter the commands. commands: what argparse's add_subparsers gave."""
    parser = commands.add_parser("signatures", help="rules and hash lists", description=_DESCRIPTION)
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    listing = _add_verb(verbs, "list", "which are in use", _LIST_EPILOG)
    add_socket_arguments(listing)
    listing.set_defaults(run=_list)
    reloading = _add_verb(verbs, "reload", "read them anew", _RELOAD_EPILOG)
    add_socket_arguments(reloading)
    reloading.set_defaults(run=_reload)
    testing = _add_verb(verbs, "test", "try them without using them", _TEST_EPILOG)
    testing.add_argument("--config", metavar="FILE", type=Path, help="the SVM's settings (KVMLA_CONFIG)")
    testing.add_argument("paths", metavar="PATH", type=Path, nargs="*", help="a directory, or a file in one")
    testing.set_defaults(run=_test)


def _add_verb(verbs: Any, name: str, does: str, epilog: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=does, description=_DESCRIPTION, epilog=epilog
    )
    add_json_argument(parser)
    return parser


def _list(args: argparse.Namespace, console: Console) -> int:
    with console.client(args) as client:
        reply = client.signatures()
    sources = _from_wire(reply.sources)
    if args.json:
        console.say_json({"generation": f"{reply.generation:016x}", "sources": _as_dicts(sources)})
    else:
        console.say(f"generation {reply.generation:016x}", "", *_as_text(sources))
    return _code(sources)


def _reload(args: argparse.Namespace, console: Console) -> int:
    with console.client(args) as client:
        reply = client.reload()
    before, after = f"{reply.generation_before:016x}", f"{reply.generation:016x}"
    sources = _from_wire(reply.sources)
    if args.json:
        console.say_json({"generation_before": before, "generation": after, "sources": _as_dicts(sources)})
    else:
        moved = f"generation {before} -> {after}" if before != after else f"generation {after}, as before"
        console.say(moved, "", *_as_text(sources))
    return _code(sources)


def _test(args: argparse.Namespace, console: Console) -> int:
    settings = load(args.config, console.environ)
    paths = [Path(os.path.abspath(path)) for path in args.paths]
    if missing := [str(path) for path in paths if not path.exists()]:
        raise CommandError(f"{missing[0]}: no such file or directory; give one that holds signatures")
    try:
        sources = asyncio.run(_read(_settings_for(settings, paths)))
    except ScannerError as error:
        raise CommandError(str(error)) from error
    if paths:
        sources = [source for source in sources if _is_below(source, paths)]
        sources += [
            _empty(path) for path in paths if not any(_is_below(source, [path]) for source in sources)
        ]
    if args.json:
        console.say_json({"sources": _as_dicts(sources)})
    else:
        console.say(*_as_text(sources))
    return _code(sources)


async def _read(settings: Settings) -> list[SignatureSource]:
    """Return the sources as a scanner reads them; it is closed before it scans anything."""
    scanner = await Scanner.start(settings.scanning, settings.engines)
    try:
        return list(scanner.sources())
    finally:
        await scanner.close()


def _settings_for(settings: Settings, paths: Sequence[Path]) -> Settings:
    """Return settings for one worker with the signatures that are to be tested, and without clamd."""
    engines = replace(settings.engines, clamd=ClamdSettings(enabled=False))
    if paths:
        directories = tuple(dict.fromkeys(path if path.is_dir() else path.parent for path in paths))
        engines = EngineSettings(
            yara=YaraSettings(shipped=False, rules_dirs=directories),
            hashlist=HashlistSettings(shipped=False, dirs=directories),
        )
    return replace(settings, scanning=replace(settings.scanning, workers=1), engines=engines)


def _is_below(source: SignatureSource, paths: Iterable[Path]) -> bool:
    return any(Path(source.path).is_relative_to(path) for path in paths)


def _empty(path: Path) -> SignatureSource:
    what = (
        f"{path}: no signatures: rules end in .yar or .yara, lists in .hdb, .hsb, .hdu, .hsu, .sha256 or .txt"
    )
    return SignatureSource("-", str(path), 0, (what,))


def _from_wire(sources: Iterable[admin_pb2.SignatureSource]) -> list[SignatureSource]:
    return [
        SignatureSource(source.engine, source.path, source.signatures, tuple(source.problems))
        for source in sources
    ]


def _code(sources: Iterable[SignatureSource]) -> int:
    return NO if any(source.problems for source in sources) else DONE


def _as_text(sources: Sequence[SignatureSource]) -> list[str]:
    if not sources:
        return ["no signatures"]
    rows = [(source.engine, source.signatures, len(source.problems), source.path) for source in sources]
    problems = [plain(problem) for source in sources for problem in source.problems]
    total = sum(source.signatures for source in sources)
    lines = table(("engine", "signatures", "problems", "file"), rows)
    files = "1 file" if len(sources) == 1 else f"{len(sources):,} files"
    return [*lines, "", f"{total:,} signatures in {files}", *problems]


def _as_dicts(sources: Iterable[SignatureSource]) -> list[dict[str, Any]]:
    return [
        {
            "engine": source.engine,
            "path": source.path,
            "signatures": source.signatures,
            "problems": list(source.problems),
        }
        for source in sources
    ]
