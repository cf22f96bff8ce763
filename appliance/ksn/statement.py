"""What may leave, to the letter: one definition, from which everything else comes.

`FIELDS` names every field that this program can send: with which call, in which mode, where it stands in
the request, in plain words what it is. From it come the list in the Statement that people accept, the
fields of the disclosure ledger, and the requests themselves: `request_for` and its like make them, `placed`
says where each value goes, and a driver sends nothing else.

The Statement is one text per KSN type, in `statements/`, with a version. What somebody accepted stays as it
was: a text is never edited but given a new version, and `STATEMENTS` holds each to its SHA-256.
"""

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from appliance.domain.digest import DIGEST_BYTES
from appliance.domain.policy import KsnType, Mode
from appliance.ksn.reputation import Call, Part, ReputationError, Request, Subject, Trouble

TEXTS = Path(__file__).parent / "statements"

_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}  # controls, what turns the direction, what is not assigned
MAX_ADDITION_BYTES = 256 * 1024
IN_LEDGER = "at home in the ledger"
NOT_AT_HOME = "not at home, where the ledger has its SHA-256, offset and length"


@dataclass(frozen=True, slots=True)
class Field:
    """Something that may leave.

    name: as the Statement and the ledger have it. mode: the narrowest in which it leaves. place: "query
    NAME", "json NAME" or "body". Fields of one call with the same place are joined in their order here.
    kept: where and how long it is kept on our side; whoever runs the service decides for his own.
    """

    name: str
    calls: tuple[Call, ...]
    mode: Mode
    place: str
    words: str
    kept: str = IN_LEDGER


FIELDS = (
    Field("digest", (Call.HASH,), Mode.STANDARD, "query request", "the SHA-256 of a file's whole content"),
    Field(
        "url",
        (Call.URL,),
        Mode.STANDARD,
        "query request",
        "the address of a web resource, without credentials, query string and fragment",
    ),
    Field(
        "query string",
        (Call.URL,),
        Mode.EXTENDED,
        "query request",
        "what follows the question mark in the address of a web resource",
    ),
    Field(
        "domain",
        (Call.DOMAIN,),
        Mode.STANDARD,
        "query request",
        "the name of a host, or its registered domain",
    ),
    Field(
        "address", (Call.IP,), Mode.STANDARD, "query request", "the IP address that a URL names as its host"
    ),
    Field(
        "submitted digest",
        (Call.SUBMIT,),
        Mode.EXTENDED,
        "query filename",
        "the SHA-256 of a submitted file's whole content, in place of the file's name",
    ),
    Field(
        "content",
        (Call.SUBMIT,),
        Mode.EXTENDED,
        "body",
        "the content of a file, or a part of it, for analysis",
        NOT_AT_HOME,
    ),
    Field(
        "analysed digest",
        (Call.RESULT,),
        Mode.EXTENDED,
        "query request",
        "the SHA-256 of submitted content whose analysis is asked for",
    ),
    Field(
        "period", (Call.STATISTICS,), Mode.STANDARD, "json period", "how many seconds the statistics cover"
    ),
    Field("files checked", (Call.STATISTICS,), Mode.STANDARD, "json checked", "how many files were checked"),
    Field(
        "threats found", (Call.STATISTICS,), Mode.STANDARD, "json detected", "in how many a threat was found"
    ),
    Field(
        "questions asked", (Call.STATISTICS,), Mode.STANDARD, "json asked", "how many questions went to KSN"
    ),
    Field(
        "position",
        (Call.CHANGES,),
        Mode.STANDARD,
        "query since",
        "up to which of the service's own changes this program has heard them",
    ),
    Field(
        "patience", (Call.CHANGES,), Mode.STANDARD, "query wait", "how many seconds it waits for the next one"
    ),
)

# With every request, whatever it is about; the key is the provider's, and the ledger says "sent" of it.
HEADERS = {
    "x-api-key": "the provider's API key, where one is set",
    "host": "the name of the service",
    "user-agent": "the name of this program: kvm-light-agent",
    "accept": "that JSON is understood",
    "accept-encoding": "that nothing is to be compressed",
    "content-type": "of what kind the body is, where there is one",
    "content-length": "how long the body is, where there is one",
}


def fields_of(call: Call, mode: Mode) -> tuple[Field, ...]:
    """Return what may leave with a call in a mode."""
    return tuple(field for field in FIELDS if call in field.calls and field.mode <= mode)


def request_for(subject: Subject, mode: Mode) -> Request:
    """Return the question about a subject. Raises ReputationError where the mode does not have it.

    The query string of a URL is left out in a mode that does not have it.
    """
    allowed = [field.name for field in fields_of(subject.call, mode)]
    values = {name: subject.value for name in allowed[:1]}
    if subject.query and "query string" in allowed:
        values["query string"] = f"?{subject.query}"
    return _request(subject.call, mode, values)


def submission(part: Part, mode: Mode) -> Request:
    """Return the request that hands over content. Raises ReputationError where the mode does not have it."""
    return _request(Call.SUBMIT, mode, {"submitted digest": part.sha256.hex()}, part)


def statistics(figures: Mapping[str, int], mode: Mode) -> Request:
    """Return the request that tells how much was done, by the fields' names. Raises ReputationError."""
    return _request(Call.STATISTICS, mode, {name: str(figure) for name, figure in figures.items()})


def changes_since(position: int, wait: int, mode: Mode) -> Request:
    """Return the request for what changed since a position, waiting `wait` seconds for a change."""
    return _request(Call.CHANGES, mode, {"position": str(position), "patience": str(wait)})


def placed(request: Request) -> dict[str, str]:
    """Return where each value of a request goes, by place, content left out.

    Raises ReputationError for a field that may not leave: a driver sends what this returns, nothing else.
    """
    values = dict(request.fields)
    allowed = fields_of(request.call, request.mode)
    strangers = values.keys() - {field.name for field in allowed}
    if strangers or (request.part is not None and "body" not in {field.place for field in allowed}):
        what = ", ".join(sorted(strangers)) or "content"
        raise ReputationError(
            Trouble.NOT_ALLOWED, f"the Statement does not have {what} with {request.call} in this mode"
        )
    places: dict[str, str] = {}
    for field in allowed:
        if field.name in values:
            places[field.place] = places.get(field.place, "") + values[field.name]
    return places


def disclosed(request: Request) -> dict[str, str]:
    """Return the fields of a request as the ledger has them: content by digest, offset and length."""
    fields = dict(request.fields)
    part = request.part
    if part is not None:
        digest = hashlib.sha256(part.data).hexdigest()
        fields["content"] = f"sha256 {digest}, offset {part.offset}, length {len(part.data)}"
    return fields


def handed_over(fields: Mapping[str, str]) -> tuple[bytes, int]:
    """Return which content it was and how much of it, from the fields of a submission in the ledger.

    The digest is of the whole content, the length in bytes of what left. Raises ValueError.
    """
    digest = bytes.fromhex(fields.get("submitted digest", ""))
    _, comma, length = fields.get("content", "").rpartition("length ")
    if len(digest) != DIGEST_BYTES or not comma or not length.isdecimal():
        raise ValueError("these are not the fields of a submission")
    return digest, int(length)


def _request(call: Call, mode: Mode, values: Mapping[str, str], part: Part | None = None) -> Request:
    request = Request(call, mode, tuple(values.items()), part)
    if not fields_of(call, mode):
        raise ReputationError(
            Trouble.NOT_ALLOWED, f"the Statement does not have {call} in {mode.name.lower()} mode"
        )
    placed(request)
    return request


@dataclass(frozen=True, slots=True)
class Statement:
    """A text that can be accepted. sha256: of its canonical form, in hexadecimal."""

    type: KsnType
    version: int
    text: str
    sha256: str


class NoStatement(ValueError):
    """There is no such Statement, or its text is not what it was; the text of the error says which."""


# Type, version, SHA-256 of the canonical text; the last of a type is the one in force.
STATEMENTS = (
    (KsnType.GLOBAL, 1, "e4e592644127a1ad2fb7e67d02b5ff67d8ce327eb4e780c3f4faa1d43e452881"),
    (KsnType.PRIVATE, 1, "cb74cd43bb809eff3284e10f754be1be13b895c6f187c890f7e9d8d6af2ba702"),
)


def canonical(text: str) -> str:
    """Return a text as it is hashed: no spaces at the ends of lines, one line end at the end."""
    return "\n".join(line.rstrip() for line in text.strip().splitlines()) + "\n"


def text_hash(text: str) -> str:
    """Return the SHA-256 of a text's canonical form, in hexadecimal."""
    return hashlib.sha256(canonical(text).encode()).hexdigest()


def version_in_force(ksn_type: KsnType) -> int:
    """Return the version of the Statement that is to be accepted now."""
    return max(version for named, version, _ in STATEMENTS if named is ksn_type)


@cache
def statement(ksn_type: KsnType, version: int) -> Statement:
    """Return a Statement, whole and as it was when it was written. Raises NoStatement."""
    for named, number, sha256 in STATEMENTS:
        if (named, number) == (ksn_type, version):
            text = canonical((TEXTS / f"{ksn_type}-{version}.txt").read_text())
            if text_hash(text) != sha256:
                raise NoStatement(
                    f"the text of the {ksn_type} Statement {version} was changed: install it anew"
                )
            return Statement(ksn_type, version, text, sha256)
    known = ", ".join(str(number) for named, number, _ in STATEMENTS if named is ksn_type)
    raise NoStatement(f"there is no version {version} of the {ksn_type} Statement: there is {known}")


def shown_text(ksn_type: KsnType, version: int, addition: str) -> str:
    """Return what who decides is shown: the Statement, and the provider's own text where there is one.

    Raises NoStatement.
    """
    text = statement(ksn_type, version).text
    return f"{text}\nFrom the provider:\n{canonical(addition)}" if addition.strip() else text


def shown_hash(text: str) -> str:
    """Return the SHA-256 of what was shown, in hexadecimal: a decision is about this text and no other."""
    return hashlib.sha256(text.encode()).hexdigest()


def first_unprintable(text: str) -> str:
    """Return the first character that would make a text look like another one, "" where none does."""
    for character in text:
        if character not in "\n\t" and unicodedata.category(character) in _UNSEEN:
            return f"the character U+{ord(character):04X}"
    return ""


def read_addition(path: Path | None) -> str:
    """Return the provider's own text, "" where a setting names none. Raises NoStatement."""
    if path is None:
        return ""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_ADDITION_BYTES + 1)
    except OSError as error:
        why = error.strerror or error
        raise NoStatement(
            f"{path}: {why}; ksn.statement_addition_file names it: see that you may read it"
        ) from error
    if len(raw) > MAX_ADDITION_BYTES:
        raise NoStatement(f"{path}: over {MAX_ADDITION_BYTES // 1024} KiB; give people a text they can read")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise NoStatement(f"{path}: not UTF-8; save the provider's text as UTF-8") from error
    if odd := first_unprintable(text):
        raise NoStatement(
            f"{path}: holds {odd}, so that it is not what it looks like: see ksn.statement_addition_file"
        )
    return text


def field_list() -> str:
    """Return what may leave as the Statement lists it."""
    lines = []
    for mode in Mode:
        lines.append("In standard mode:" if mode is Mode.STANDARD else "In extended mode, in addition:")
        for call in Call:
            fields = [field for field in FIELDS if field.mode is mode and call in field.calls]
            lines.extend(f"- {call}: {field.name}: {field.words}; kept {field.kept}" for field in fields)
        lines.append("")
    lines.append("With every request, in both modes:")
    lines.extend(f"- header {name}: {words}" for name, words in HEADERS.items())
    return "\n".join(lines) + "\n"
