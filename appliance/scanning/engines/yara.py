"""YARA-X rules: the shipped ones and those of the operator's directories (https://virustotal.github.io/yara-x/).

Every `*.yar` and `*.yara` below a directory is compiled, each in a namespace of its own, so that the
same rule name in two files is no error. A bad rule is reported by file and line; all others count.
`include` is refused, since every file is read anyway and would be read twice.

Rules that can match nothing but what begins with MZ are a set of their own, which all other contents are
spared (yara_split; docs/decisions/0015).

A rule that matches is MALICIOUS under its own name. It is SUSPICIOUS when it has one of the tags
UNWANTED (`rule Miner : pua { ... }`), or a meta entry of such a name that is true or 1
(`pua = true`), or the meta entry `disposition = "suspicious"`.

External variables, all text: `filename` (last part of the path), `filepath` (path inside the
container for a member, else the same as filename), `extension` (lower case, with its dot),
`filetype` (a word such as "ELF", by the first bytes) and `owner` (never known: "").

The file's own name is "" to rules, unless engines.yara.trust_file_names is set: a guest chooses it,
and what a rule says of it would count for the content under every name and for every guest. The
names of members count always, since they are part of the content.
"""

import io
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import xxhash
import yara_x

from appliance.config import EngineSettings, YaraSettings
from appliance.domain.outcome import Disposition, Unanswered
from appliance.domain.verdict import Detection
from appliance.scanning.engines import yara_split
from appliance.scanning.engines.content import Content
from appliance.scanning.engines.engine import MAX_DETECTIONS, EngineBuild, EngineFailure, fingerprint
from appliance.scanning.engines.sources import (
    SHIPPED,
    Problems,
    files_below,
    open_source,
    shown,
    unread,
)
from appliance.scanning.labels import printable, shortened, threat_name
from appliance.scanning.result import SignatureSource

NAME = "yara"
RULES_SECTION = "yara.rules"
WINDOWS_SECTION = "yara.rules.windows"  # empty where there are no such rules
SUFFIXES = (".yar", ".yara")
MAX_RULE_FILE_BYTES = 64 * 1024 * 1024
EXTERNAL_VARIABLES = ("filename", "filepath", "extension", "filetype", "owner")
UNWANTED = frozenset({"suspicious", "pua", "pup", "riskware", "adware", "unwanted"})

_FILE_TYPES = (
    (b"MZ", "EXE"),
    (b"\x7fELF", "ELF"),
    (b"PK\x03\x04", "ZIP"),
    (b"Rar!", "RAR"),
    (b"7z\xbc\xaf\x27\x1c", "7ZIP"),
    (b"\x1f\x8b", "GZIP"),
    (b"%PDF", "PDF"),
    (b"\xd0\xcf\x11\xe0", "OLE"),
    (b"{\\rtf", "RTF"),
    (b"GIF8", "GIF"),
    (b"\xff\xd8\xff", "JPG"),
    (b"\x89PNG", "PNG"),
    (b"#!", "SCRIPT"),
    (b"<?php", "PHP"),
)


def engine_version() -> str:
    """The version of YARA-X in use."""
    return version("yara-x")


def build(settings: EngineSettings) -> EngineBuild:
    """Compile the shipped rules and those of the operator."""
    directories = [SHIPPED / "yara"] if settings.yara.shipped else []
    return build_rules([*directories, *settings.yara.rules_dirs], settings.yara.trust_file_names)


def build_rules(directories: Iterable[Path], trust_file_names: bool = False) -> EngineBuild:
    """Compile every rule file below `directories`. What is wrong stands in the sources; the rest counts.

    trust_file_names: as in the settings; with it the rules say something else, and so it is another build.
    """
    builder = _Builder(trust_file_names)
    troubles: list[SignatureSource] = []
    for directory in directories:
        files, unreadable = files_below(NAME, directory, lambda name: name.lower().endswith(SUFFIXES))
        troubles += unreadable
        for path in files:
            try:
                builder.add(path)
            except OSError as error:
                troubles.append(unread(NAME, path, error.strerror or str(error)))
    return builder.finish(troubles)


class _Builder:
    """Compiles files one by one into two sets of rules."""

    def __init__(self, trust_file_names: bool) -> None:
        self._everywhere, self._windows = _compiler(), _compiler()
        self._any_windows = False
        self._paths: list[Path] = []
        self._problems: list[Problems] = []
        self._contents = [b"trust_file_names"] if trust_file_names else []

    def add(self, path: Path) -> None:
        """Compile one file. Raises OSError."""
        with open_source(path, MAX_RULE_FILE_BYTES) as file:
            raw = file.read()
        problems = Problems()
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            problems.add(shown(path), "not UTF-8, read as Latin-1: save it as UTF-8")
            text = raw.decode("latin-1")
        name = str(len(self._paths))
        self._paths.append(path)
        self._problems.append(problems)
        self._contents.append(xxhash.xxh3_128_digest(raw))
        parted = yara_split.part(text)
        _compile(self._everywhere, name, parted.everywhere)
        if parted.windows:
            self._any_windows = True
            _compile(self._windows, name, parted.windows)

    def finish(self, troubles: list[SignatureSource]) -> EngineBuild:
        """Return the compiled rules and, file by file, what is wrong."""
        self._note_errors()
        everywhere, windows = self._everywhere.build(), self._windows.build()
        counts = Counter(int(rule.namespace) for rules in (everywhere, windows) for rule in rules)
        sources = [
            SignatureSource(NAME, shown(path), counts[index], problems.all())
            for index, (path, problems) in enumerate(zip(self._paths, self._problems, strict=True))
        ]
        return EngineBuild(
            NAME,
            engine_version(),
            fingerprint(self._contents),
            (*troubles, *sources),
            {
                RULES_SECTION: _packed(everywhere),
                WINDOWS_SECTION: _packed(windows) if self._any_windows else b"",
            },
        )

    def _note_errors(self) -> None:
        told: set[tuple[str, str]] = set()  # what both parts of a file have may be wrong in both
        for error in (*self._everywhere.errors(), *self._windows.errors()):
            label: Mapping[str, Any] = next(iter(error.get("labels", ())), {})
            origin = str(label.get("code_origin", ""))
            if not origin.isdecimal() or int(origin) >= len(self._paths):
                continue
            index = int(origin)
            place = f"{shown(self._paths[index])}:{label.get('line', error.get('line', 1))}"
            detail = f": {label['text']}" if label.get("text") else ""
            what = f"{error.get('title', 'not a YARA rule')}{detail}"
            if (place, what) not in told:
                told.add((place, what))
                self._problems[index].add(place, what)


def _compiler() -> yara_x.Compiler:
    # Public rule sets were written for YARA's laxer regular expressions.
    compiler = yara_x.Compiler(relaxed_re_syntax=True, includes_enabled=False)
    compiler.ignore_invalid_rules(True)
    for variable in EXTERNAL_VARIABLES:
        compiler.define_global(variable, "")
    return compiler


def _compile(compiler: yara_x.Compiler, namespace: str, text: str) -> None:
    compiler.new_namespace(namespace)
    with suppress(yara_x.CompileError):  # it stands in errors() too, with its line
        compiler.add_source(text, origin=namespace)


def _packed(rules: yara_x.Rules) -> bytes:
    packed = io.BytesIO()
    rules.serialize_into(packed)
    return packed.getvalue()


class YaraEngine:
    """Scans with compiled rules. yara_x holds the GIL for a whole scan: one process, one engine."""

    name = NAME
    unpacks = False

    def __init__(self, sections: Mapping[str, memoryview], settings: YaraSettings) -> None:
        """Load the sections that a build made with these settings."""
        self.version = engine_version()
        self._trust_file_names = settings.trust_file_names
        self._everywhere = _RuleSet(sections[RULES_SECTION], settings.match_timeout_seconds)
        windows = sections[WINDOWS_SECTION]
        self._windows = _RuleSet(windows, settings.match_timeout_seconds) if len(windows) else None

    def scan(self, content: Content) -> list[Detection]:
        """Return one detection for each rule that matches, the malicious first."""
        name = content.name if content.member or self._trust_file_names else b""
        head = content.data[: len(yara_split.MAGIC)]
        matching = self._everywhere.matching(content, name)
        if self._windows is not None and head == yara_split.MAGIC:
            matching = [*matching, *self._windows.matching(content, name)]
        if not matching:
            return []
        found = [
            Detection(threat_name(rule.identifier.encode()), NAME, content.member, _disposition(rule))
            for rule in matching
        ]
        found.sort(key=lambda detection: detection.disposition)
        return found[:MAX_DETECTIONS]


class _RuleSet:
    """Compiled rules, and the values that their variables have now."""

    def __init__(self, rules: memoryview, timeout_seconds: int) -> None:
        self._timeout = timeout_seconds
        self._scanner = yara_x.Scanner(yara_x.Rules.deserialize_from(io.BytesIO(rules)))
        self._scanner.set_timeout(timeout_seconds)
        # The thread that watches the time is started by the first scan: later a worker starts none any more.
        with suppress(yara_x.TimeoutError, yara_x.ScanError):
            self._scanner.scan(b"")
        self._values = dict.fromkeys(EXTERNAL_VARIABLES, "")

    def matching(self, content: Content, name: bytes) -> "Sequence[yara_x.Rule]":
        """Return the rules that match. name: of the file, as far as rules are told. Raises EngineFailure."""
        data = content.data
        self._set_variables(name, content.member, data[:8])
        try:
            if isinstance(data, bytes):
                results = self._scanner.scan(data)
            else:
                results = self._scanner.scan_file(f"/proc/self/fd/{content.fd}")
        except yara_x.TimeoutError:
            raise EngineFailure(
                f"YARA rules took longer than {self._timeout} s (engines.yara.match_timeout_seconds)",
                Unanswered.TIMED_OUT,
            ) from None
        except (yara_x.ScanError, OSError) as error:
            reason = shortened(printable(str(error).encode()), 200)
            raise EngineFailure(f"YARA-X could not scan: {reason}") from error
        return results.matching_rules

    def _set_variables(self, name: bytes, member: str, head: bytes) -> None:
        filename = name.decode("utf-8", "replace")
        values = {
            "filename": filename,
            "filepath": member or filename,
            "extension": os.path.splitext(filename)[1].lower(),
            "filetype": file_type(head),
        }
        for variable, value in values.items():
            if self._values[variable] != value:
                self._scanner.set_global(variable, value)
                self._values[variable] = value


def file_type(head: bytes) -> str:
    """Return the word for rules that ask for `filetype`, "" for none of those known here."""
    for magic, word in _FILE_TYPES:
        if head.startswith(magic):
            return word
    return ""


def _disposition(rule: "yara_x.Rule") -> Disposition:
    if not UNWANTED.isdisjoint(tag.lower() for tag in rule.tags):
        return Disposition.SUSPICIOUS
    for key, value in rule.metadata:
        if key.lower() in UNWANTED and value in (True, 1, "true"):
            return Disposition.SUSPICIOUS
        if key.lower() == "disposition" and value == "suspicious":
            return Disposition.SUSPICIOUS
    return Disposition.MALICIOUS
