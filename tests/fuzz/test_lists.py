"""Files of rules, hash lists, lists of addresses and feeds: an operator takes them from elsewhere."""

import io
import json
import sqlite3
import zipfile
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from appliance.config import YaraSettings
from appliance.feeds.lines import Bad, Progress, SourceError
from appliance.ksn.lists import UrlLists
from appliance.ksn.weburl import parse_url
from appliance.private_ksn.formats import FORMS
from appliance.private_ksn.records import encode_label
from appliance.private_ksn.reputation import Zone
from appliance.private_ksn.sources import Found, Words
from appliance.scanning.engines import hashlist, yara
from appliance.scanning.engines.content import Content
from appliance.scanning.engines.engine import EngineBuild, EngineFailure
from tests.fuzz.mutation import mutated, seeds
from tests.support.properties import fuzzing

HASH_SUFFIXES = (".hdb", ".hsb", ".hdu", ".hsu", ".sha256", ".txt")
HASH_WORDS = [b":", b"*", b"PUA.", b"#", b"\n", b"\0", b"\xff", b"0" * 64, b"9" * 30]
LIST_WORDS = [b'"', b",", b"#", b"\n", b"://", b"\xef\xbb\xbf", b"\xff", b"id,dateadded,url\n", b" "]
YARA_WORDS = [
    b"{",
    b"}",
    b"condition:",
    b"strings:",
    b"$a",
    b"/*",
    b"//",
    b"rule x ",
    b"[0-]",
    b'import "pe"',
]


def sections(build: EngineBuild) -> dict[str, memoryview]:
    """What was built, as a worker gets it."""
    return {name: memoryview(data) for name, data in build.sections.items()}


@pytest.mark.parametrize("suffix", HASH_SUFFIXES)
@fuzzing
@given(data=mutated(st.sampled_from([data for _, data in seeds("hashes")]), HASH_WORDS))
def test_a_hash_list_gives_entries_and_problems(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, data: bytes
) -> None:
    """Nothing is raised, and what was built finds or does not find."""
    directory = tmp_path_factory.getbasetemp() / "hashes"
    directory.mkdir(exist_ok=True)
    for old in directory.iterdir():
        old.unlink()
    (directory / f"list{suffix}").write_bytes(data)
    build = hashlist.build_lists([directory])
    engine = hashlist.HashlistEngine(sections(build))
    for found in engine.scan(Content.of_bytes(b"hello world\n")):
        assert found.threat.isprintable()
    assert all(line.isprintable() for source in build.sources for line in source.problems)


@pytest.mark.hypothesis
def test_a_rule_file_is_compiled_or_told_of(tmp_path: Path) -> None:
    """Whatever it holds, nothing is raised, the rest counts, and a scan has an end."""
    (tmp_path / "good.yar").write_text('rule Good { strings: $a = "good word" condition: $a }')

    @settings(fuzzing, max_examples=60)
    @given(mutated(st.sampled_from([data for _, data in seeds("yara")]), YARA_WORDS))
    def compile_(data: bytes) -> None:
        (tmp_path / "odd.yar").write_bytes(data)
        build = yara.build_rules([tmp_path])
        engine = yara.YaraEngine(sections(build), YaraSettings(match_timeout_seconds=5))
        with suppress(EngineFailure):
            assert "Good" in {found.threat for found in engine.scan(Content.of_bytes(b"a good word MZ"))}
        assert all(line.isprintable() for source in build.sources for line in source.problems)

    compile_()


def zipped_list(data: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP with one file in it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("list.csv", data)
    return out.getvalue()


PLAIN = [data for _, data in seeds("lists")]
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
ZIPS = [zipped_list(data * 20, method) for data in PLAIN for method in METHODS]
LISTS = mutated(st.sampled_from(PLAIN), LIST_WORDS) | mutated(
    st.sampled_from(ZIPS), [b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x01\x02"]
)


def broken_stream() -> bytes:
    """A ZIP whose member is no deflate stream."""
    data = bytearray(zipped_list(PLAIN[0] * 20))
    at = data.index(b"list.csv") + len(b"list.csv")
    data[at : at + 8] = b"\xff" * 8
    return bytes(data)


def of_many_disks() -> bytes:
    """The end of a ZIP that says that it is one of several."""
    locator = b"PK\x06\x07" + bytes(12) + (2).to_bytes(4, "little")
    return bytes(64) + locator + b"PK\x05\x06" + b"\xff" * 16 + bytes(2)


@fuzzing
@given(data=LISTS, suffix=st.sampled_from([".csv", ".zip", ".txt"]))
@example(data=broken_stream(), suffix=".zip")
@example(data=of_many_disks(), suffix=".zip")
def test_lists_of_addresses_are_read_as_far_as_they_go(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, suffix: str
) -> None:
    """Nothing is raised: what cannot be read is in the report, and the other list counts."""
    directory = tmp_path_factory.getbasetemp() / "addresses"
    directory.mkdir(exist_ok=True)
    for old in directory.iterdir():
        old.unlink()
    (directory / "good.txt").write_text("http://good.example/\n")
    (directory / f"odd{suffix}").write_bytes(data)
    lists = UrlLists([directory])
    report = lists.reload()
    assert lists.find(parse_url("http://good.example/")) is not None
    assert report.files == 2


def taken(form: str, path: Path) -> None:
    """Read a feed to its end, or to the error that it may end with; what it found can be kept."""
    read, zone = FORMS[form]
    with suppress(SourceError, OSError):
        for found in read(path, Words(zone or Zone.RED), Progress()):
            assert isinstance(found, Found | Bad)
            if isinstance(found, Found):
                assert all(found.keys)
                encode_label(found.reputation)
            else:
                assert found.where
                assert found.why


@pytest.mark.parametrize("form", ["plain", "malwarebazaar", "urlhaus"])
@fuzzing
@given(data=LISTS)
@example(data=broken_stream())
@example(data=of_many_disks())
@example(data=b"url,id,url\n1,2\n")  # a header that names a column twice: IndexError
def test_a_feed_of_lines_is_entries_and_bad_lines(
    tmp_path_factory: pytest.TempPathFactory, form: str, data: bytes
) -> None:
    """SourceError and nothing else."""
    path = tmp_path_factory.getbasetemp() / "feed"
    path.write_bytes(data)
    taken(form, path)


def nsrl_database(directory: Path) -> bytes:
    """A small one, with an index, so that pages are of every kind."""
    path = directory / "seed.db"
    with closing(sqlite3.connect(path)) as made:
        made.executescript(
            "PRAGMA page_size = 512; CREATE TABLE FILE(sha256, sha1, md5, file_name, file_size, package_id);"
            "CREATE TABLE PKG(package_id, name, version, application_type);"
            "CREATE INDEX by_sha ON FILE(sha256);"
        )
        for number in range(40):
            values = (f"{number:064x}", "11" * 20, "22" * 16, "x", 1, number % 3)
            made.execute("INSERT INTO FILE VALUES (?, ?, ?, ?, ?, ?)", values)
        made.executemany("INSERT INTO PKG VALUES (?, 'Firefox', '1', 'Browser')", [(1,), (2,)])
        made.commit()
    return path.read_bytes()


@pytest.mark.hypothesis
def test_a_database_of_nsrl_is_entries_or_refused(tmp_path: Path) -> None:
    """A SQLite file with changes anywhere: SourceError and nothing else."""
    sound = nsrl_database(tmp_path)

    @fuzzing
    @given(mutated(st.just(sound), [b"sha256", b"FILE", b"PKG", b"CREATE TABLE "]))
    def read(data: bytes) -> None:
        (tmp_path / "odd.db").write_bytes(data)
        taken("nsrl", tmp_path / "odd.db")

    read()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KINDS = st.sampled_from(["md5", "sha256", "filename|sha1", "ip-src", "domain", "url", "hostname", "other"])
ATTRIBUTES = st.lists(VALUES | st.fixed_dictionaries({"type": KINDS, "value": VALUES}), max_size=4) | VALUES


@fuzzing
@given(
    event=VALUES
    | st.fixed_dictionaries(
        {
            "Event": VALUES
            | st.fixed_dictionaries({"info": VALUES, "timestamp": VALUES, "Attribute": ATTRIBUTES})
        }
    ),
    manifest=st.lists(st.sampled_from(["aa", "bb", "../x", "", "\0", "\ud800"]), max_size=4),
    spoiled=mutated(
        st.just(json.dumps({"Event": {"Attribute": [{"type": "md5", "value": "a" * 32}]}}).encode())
    ),
)
def test_a_feed_of_misp_is_entries_and_bad_ones(
    tmp_path_factory: pytest.TempPathFactory, event: object, manifest: Sequence[str], spoiled: bytes
) -> None:
    """Events of any shape, and what is no JSON: SourceError and nothing else."""
    directory = tmp_path_factory.getbasetemp() / "misp"
    directory.mkdir(exist_ok=True)
    (directory / "manifest.json").write_text(json.dumps(dict.fromkeys(manifest)))
    (directory / "aa.json").write_text(json.dumps(event))
    (directory / "bb.json").write_bytes(spoiled)
    taken("misp", directory)
