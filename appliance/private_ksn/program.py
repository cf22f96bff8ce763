"""Reads the command line of `private-ksn`, runs a command, turns failures into one line and an exit code."""

import argparse
import asyncio
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import NoReturn

import structlog

from appliance.console.logs import adopt_library_lines, configure
from appliance.feeds.lines import Progress, SourceError
from appliance.private_ksn.bad_lines import BadLines
from appliance.private_ksn.console import DONE, FAILED, NO, CommandError, Console, table
from appliance.private_ksn.formats import FORMS
from appliance.private_ksn.importing import ImportRefused, drop_feed, import_feed, not_empty
from appliance.private_ksn.keys import new_key
from appliance.private_ksn.reputation import ZONES, Reputation, Zone
from appliance.private_ksn.serving import CannotServe, check, serve
from appliance.private_ksn.settings import SettingsError, load
from appliance.private_ksn.sources import Words
from appliance.private_ksn.store import OPERATOR, Store, StoreError
from appliance.private_ksn.subjects import BadSubject, parse_any, subject_of
from appliance.version import program_version

INTERRUPTED = 130  # as a shell reports a program that Ctrl-C ended
PIPE_CLOSED = 141  # as a shell reports a program whose reader went away

_DESCRIPTION = """A Private KSN of one's own: answers reputations of files and addresses inside the network,
in the dialect of OpenTIP, from feeds that you import and words that you set. It asks nobody."""

_EPILOG = """examples:
  private-ksn key svm-1                         # prints a key, and its line for keys_file
  private-ksn serve --config /etc/private-ksn/private-ksn.toml
  private-ksn import plain known-bad.txt --zone red --feed incident-2026
  private-ksn set bad.example --zone red --category phishing
  private-ksn show $(sha256sum < setup.exe | cut -d' ' -f1)

Everything but serve and key works while it serves, and when it does not.

exit codes:
  0  done
  1  the answer is no: nothing is known, or there is nothing to drop
  2  the command could not do its work; the reason is on stderr"""


class _Parser(argparse.ArgumentParser):
    """Complains in one line, keeps the line breaks of its texts."""

    def __init__(self, **options: object) -> None:
        super().__init__(
            **options,  # type: ignore[arg-type]
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        raise CommandError(f"{message}; see `{self.prog} --help`")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="private-ksn", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"private-ksn {program_version()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)

    def command(
        name: str, does: str, run: Callable[[argparse.Namespace, Console], int]
    ) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=does, description=f"{does[0].upper()}{does[1:]}.")
        one.set_defaults(run=run)
        if name != "key":
            one.add_argument("--config", metavar="FILE", type=Path, help="the settings (embedded defaults)")
        if name not in ("serve", "key"):
            one.add_argument(
                "--data", metavar="DIR", type=Path, help="wins over server.data_dir of the settings"
            )
        return one

    command("serve", "run the service until SIGTERM; SIGHUP reads keys and certificate anew", _serve)
    command("key", "make an API key, and print it with its line for keys_file", _key).add_argument("name")
    importing = command("import", "let a feed be what a file says, in one step", _import)
    importing.add_argument("form", metavar="FORMAT", choices=sorted(FORMS), help=", ".join(sorted(FORMS)))
    importing.add_argument("file", metavar="FILE", type=Path)
    importing.add_argument("--feed", metavar="NAME", help="which feed it replaces, and no other (FORMAT)")
    importing.add_argument("--zone", choices=ZONES, help="of every entry; plain needs it")
    importing.add_argument(
        "--bad-lines", metavar="FILE", type=Path, help="write what could not be taken to this file"
    )
    importing.add_argument(
        "--allow-empty", action="store_true", help="a file without entries empties the feed"
    )
    setting = command("set", "say the operator's word on a digest, URL, domain or IP address", _set)
    setting.add_argument("subject", metavar="SUBJECT")
    word = setting.add_mutually_exclusive_group(required=True)
    word.add_argument("--zone", choices=ZONES)
    word.add_argument("--clear", action="store_true", help="end the operator's word; feeds count again")
    for one in (importing, setting):
        one.add_argument("--threat", metavar="NAME", default="", help="what a detection is called")
        one.add_argument("--category", metavar="TEXT", default="", help="of the address or the software")
    showing = command("show", "show what each source knows of a subject", _show)
    showing.add_argument("subject", metavar="SUBJECT")
    listing = command("list", "list the operator's words, or the entries of a feed", _list)
    listing.add_argument("--feed", metavar="NAME")
    listing.add_argument("--limit", metavar="N", type=int, default=1000, help="the first N (1000)")
    command("drop", "end a feed", _drop).add_argument("feed", metavar="NAME")
    stats = command("stats", "show the feeds, and how much each has", _stats)
    for one in (showing, stats):
        one.add_argument("--json", action="store_true", help="print one JSON document instead of text")
    return parser


def run(arguments: Sequence[str], console: Console) -> int:
    """Run one command; return its exit code. Nothing that a person can cause raises."""
    try:
        args = _parser().parse_args(arguments)
        command: Callable[[argparse.Namespace, Console], int] = args.run
        code = command(args, console)
        console.out.flush()
        return code
    except (
        CommandError,
        SettingsError,
        StoreError,
        BadSubject,
        ImportRefused,
        SourceError,
        CannotServe,
    ) as error:
        console.complain(str(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return PIPE_CLOSED
    except OSError as error:
        console.complain(f"{error.filename or 'the output'}: {error.strerror or error}")
    return FAILED


def _store(args: argparse.Namespace, create: bool = False) -> Store:
    return Store.open(args.data or load(args.config).server.data_dir, create)


def _serve(args: argparse.Namespace, console: Console) -> int:
    settings = load(args.config)
    check(settings)
    configure(settings.log, console.err, console.clock)
    leave_libraries = adopt_library_lines(structlog.get_logger("private-ksn"))
    try:
        with closing(Store.open(settings.server.data_dir)) as store:
            asyncio.run(serve(settings, store))
    finally:
        leave_libraries()
        structlog.reset_defaults()
    return DONE


def _key(args: argparse.Namespace, console: Console) -> int:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,40}", args.name):
        raise CommandError(
            f"{args.name!r} is no name of a key: give letters, digits, '.', '_' and '-', at most 40"
        )
    key, line = new_key(args.name)
    console.say(f"key:  {key}", f"line: {line}")
    return DONE


def _import(args: argparse.Namespace, console: Console) -> int:
    read, zone = FORMS[args.form]
    if args.zone:
        zone = ZONES[args.zone]
    if zone is None:
        raise CommandError(f"a {args.form} list does not say what its entries are: give --zone")
    progress, name = Progress(), args.feed or args.form
    source = read(args.file, Words(zone, args.threat, args.category), progress)
    if not args.allow_empty:
        source = not_empty(source)
    with ExitStack() as stack:
        store = stack.enter_context(closing(_store(args, create=True)))
        written = stack.enter_context(args.bad_lines.open("w")) if args.bad_lines else None
        bad = BadLines(written)
        stack.callback(bad.tell, console)
        stack.callback(console.clear)
        now = int(console.clock())
        done = import_feed(store, name, args.form, bad.of(source), now, console.meter(progress))
    flipped = "more zones than are kept" if done.flipped is None else f"{done.flipped:,} zones"
    console.say(f"{name}: {done.entries:,} entries, {done.keys:,} keys, {flipped} changed, {done.bad:,} bad")
    return DONE


def _set(args: argparse.Namespace, console: Console) -> int:
    subject = parse_any(args.subject)
    zone = ZONES[args.zone] if args.zone else None
    if zone is Zone.ORANGE and subject.kind == "hash":
        raise CommandError("orange is a zone of addresses: give yellow or red for a file")
    word = None if zone is None else Reputation(zone, args.threat, args.category, "", 0, OPERATOR)
    with closing(_store(args, create=True)) as store:
        changed = store.set_entry(subject.key, word)
    console.say(
        f"{subject.text}: {zone.word if zone is not None else 'cleared' if changed else 'was not set'}"
    )
    return DONE if changed else NO


def _show(args: argparse.Namespace, console: Console) -> int:
    subject = parse_any(args.subject)
    with closing(_store(args)) as store:
        words = store.words(subject.key)
    if args.json:
        console.say_json(
            {"subject": subject.text, "words": [{**asdict(w), "zone": w.zone.word} for w in words]}
        )
    elif words:
        rows = [(w.source, w.zone.word, w.threat or "-", w.category or "-", w.name or "-") for w in words]
        console.say(subject.text, *table(("source", "zone", "threat", "category", "name"), rows))
    else:
        console.say(f"{subject.text}: nothing is known")
    return DONE if words else NO


def _list(args: argparse.Namespace, console: Console) -> int:
    with closing(_store(args)) as store:
        if args.feed:
            if args.feed not in store.feeds():
                raise CommandError(f"there is no feed {args.feed!r}: `private-ksn stats` shows them")
            console.say(*(subject_of(key).text for key in islice(store.feed_keys(args.feed), args.limit)))
        else:
            rows = [
                (s.kind, s.text, w.zone.word, w.threat or "-", w.category or "-") for s, w in store.entries()
            ]
            console.say(*table(("kind", "subject", "zone", "threat", "category"), rows[: args.limit]))
    return DONE


def _drop(args: argparse.Namespace, console: Console) -> int:
    with closing(_store(args)) as store:
        dropped = drop_feed(store, args.feed)
    console.say(f"{args.feed}: {'dropped' if dropped else 'there is no such feed'}")
    return DONE if dropped else NO


def _stats(args: argparse.Namespace, console: Console) -> int:
    with closing(_store(args)) as store:
        feeds, sequence = store.feeds(), store.sequence()
    if args.json:
        console.say_json(
            {"feeds": {name: asdict(feed) for name, feed in feeds.items()}, "sequence": sequence}
        )
    else:
        rows = [(name, feed.form, f"{feed.entries:,}", f"{feed.bad:,}") for name, feed in feeds.items()]
        console.say(
            *table(("feed", "format", "keys", "bad lines"), rows), f"last change of a zone: {sequence}"
        )
    return DONE
