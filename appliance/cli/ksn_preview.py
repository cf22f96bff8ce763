"""svm ksn preview: what would be sent to KSN about something, in each mode. Sends nothing."""

import argparse
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.cli.console import DONE, CommandError, Console, exit_codes, table
from appliance.config import SubmitSettings, load
from appliance.domain.digest import BadDigest, parse_digest
from appliance.domain.policy import Mode
from appliance.feeds.web_address import BadUrl
from appliance.ksn.at_home import AT_HOME, SENTENCE
from appliance.ksn.kinds import HEAD_BYTES, Kind, kind_of
from appliance.ksn.reputation import Call, Part, Request, Subject
from appliance.ksn.statement import HEADERS, disclosed, fields_of, request_for, submission
from appliance.ksn.weburl import WebResource, parse_url

_DESCRIPTION = """\
Prints what could be sent to the Kaspersky Security Network (KSN) about a file or an address: each
call, field and value, in standard and in extended mode. It sends nothing, looks up no name, and
needs no SVM."""

_EPILOG = f"""\
What is printed leaves only where the tenant takes part, and only when the SVM has no answer at
hand. In extended mode programs and scripts can be handed over; documents only if a threat was found
in them, and provider and tenant both allow it (svm policy change --documents yes); anything else
never is. An address is asked about line by line until KSN knows one.

examples:
  svm ksn preview setup.exe
  svm ksn preview 'https://user:secret@example.com/a?b=c'

{exit_codes()}"""

Line = tuple[str, str, str]  # call, field, value

_DOCUMENT = (
    "it is a document: it is submitted only if a threat was found in it, and the tenant allows it "
    "(svm policy change --documents yes)"
)
_NO_DOCUMENT = "it is a document: the provider has none submitted (ksn.submit.documents)"
_LOCAL = "this host is known in its own network only: a service outside cannot know it"
_NEVER = "it is neither a program nor a document: it is submitted in no mode"


def add(verbs: Any) -> None:
    """Enter the command. verbs: what argparse's add_subparsers gave."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "preview", help="what would be sent; sends nothing", description=_DESCRIPTION, epilog=_EPILOG
    )
    parser.add_argument("subject", metavar="FILE|DIGEST|URL")
    parser.add_argument("--config", metavar="FILE", type=Path, help="the SVM's settings (KVMLA_CONFIG)")
    parser.set_defaults(run=_preview)


def _preview(args: argparse.Namespace, console: Console) -> int:
    subject: str = args.subject
    digest = _as_digest(subject)
    if digest is not None:
        shown, note = {mode: _of_digest(digest, mode) for mode in Mode}, ""
    elif "://" not in subject and _is_file(subject):
        file = _look(Path(subject), load(args.config, console.environ).ksn.submit)
        digest, note = file.digest, file.note
        shown = {mode: _of_file(file, mode) for mode in Mode}
    else:
        web = _as_web(subject)
        shown = {mode: _of_web(web, mode) for mode in Mode}
        note = "" if web.public else _LOCAL
    if digest in AT_HOME:
        shown, note = {mode: [] for mode in Mode}, SENTENCE
    for mode in Mode:
        console.say(f"in {mode.name.lower()} mode:", *table(("call", "field", "value"), shown[mode]), "")
    console.say(f"with each request go the headers {', '.join(HEADERS)}", *filter(None, [note]))
    console.say("nothing was sent")
    return DONE


def file_digest(path: Path) -> bytes:
    """Return the SHA-256 of a file's whole content. Raises CommandError or OSError."""
    if not path.is_file():
        raise CommandError(f"{str(path)[:200]!r} is neither 64 hexadecimal digits nor a file that is here")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


@dataclass(frozen=True, slots=True)
class _File:
    """A file as the SVM would see it. part: what would be handed over of it, None for nothing."""

    digest: bytes
    part: Part | None
    note: str


def _look(path: Path, settings: SubmitSettings) -> _File:
    """Return what would become of a file. Raises CommandError or OSError."""
    digest = file_digest(path)
    with path.open("rb") as file:
        kind = kind_of(file.read(HEAD_BYTES))
        if kind is Kind.DOCUMENT and not settings.documents:
            return _File(digest, None, _NO_DOCUMENT)
        if kind not in (Kind.EXECUTABLE, Kind.DOCUMENT):
            return _File(digest, None, _NEVER)
        file.seek(0)
        whole = path.stat().st_size <= settings.max_file_mib << 20
        data = file.read(settings.max_file_mib << 20 if whole else settings.part_mib << 20)
    note = _DOCUMENT if kind is Kind.DOCUMENT else ""
    return _File(digest, Part(digest, 0, data) if data else None, note)


def _as_digest(text: str) -> bytes | None:
    try:
        return parse_digest(text)
    except BadDigest:
        return None


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except OSError:  # too long for a name, as an address may be
        return False


def _as_web(text: str) -> WebResource:
    """Return an address that was written as one, or at least names a host that the Internet could know."""
    try:
        web = parse_url(text)
    except BadUrl as error:
        raise CommandError(str(error)) from error
    if "://" not in text and not web.public:
        raise CommandError(
            f"{text[:200]!r} is no file that is here, no digest, and no address: write addresses with http://"
        )
    return web


def _of_digest(digest: bytes, mode: Mode) -> list[Line]:
    return _lines(request_for(Subject(Call.HASH, digest.hex()), mode))


def _of_file(file: _File, mode: Mode) -> list[Line]:
    """Return what its digest leads to, and where the mode has it the file being submitted."""
    lines = _of_digest(file.digest, mode)
    if file.part is not None and fields_of(Call.SUBMIT, mode):
        lines += _lines(submission(file.part, mode))
        lines += _lines(request_for(Subject(Call.RESULT, file.digest.hex()), mode))
    return lines


def _of_web(web: WebResource, mode: Mode) -> list[Line]:
    subjects = web.subjects(extended=mode is Mode.EXTENDED)
    return [line for subject in subjects for line in _lines(request_for(subject, mode))]


def _lines(request: Request) -> list[Line]:
    return [(str(request.call), name, value) for name, value in disclosed(request).items()]
