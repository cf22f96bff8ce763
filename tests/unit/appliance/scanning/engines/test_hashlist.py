"""Tests of appliance/scanning/engines/hashlist.py."""

import hashlib
import random
from pathlib import Path

import pytest

from appliance.config import EngineSettings, HashlistSettings
from appliance.domain.outcome import Disposition
from appliance.domain.verdict import Detection
from appliance.scanning.engines import hashlist
from appliance.scanning.engines.content import Content
from appliance.scanning.engines.engine import EngineBuild
from appliance.scanning.engines.hashlist import HashlistEngine, build, build_lists
from tests.support.contents import EICAR

DATA = b"some malware"
MD5 = hashlib.md5(DATA, usedforsecurity=False).hexdigest()
SHA1 = hashlib.sha1(DATA, usedforsecurity=False).hexdigest()
SHA256 = hashlib.sha256(DATA).hexdigest()
SIZE = len(DATA)


def engine(built: EngineBuild) -> HashlistEngine:
    """The engine of a build."""
    return HashlistEngine({name: memoryview(data) for name, data in built.sections.items()})


def lists(directory: Path, **files: str) -> EngineBuild:
    """Build the lists `files`: name, with _ for the dot -> text."""
    for name, text in files.items():
        (directory / name.replace("_", ".")).write_text(text)
    return build_lists([directory])


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("a_hdb", f"{MD5}:{SIZE}:Bad"),
        ("a_hdb", f"{MD5}:*:Bad:73"),
        ("a_hsb", f"{SHA1}:{SIZE}:Bad"),
        ("a_hsb", f"{SHA256}:{SIZE}:Bad"),
        ("a_sha256", f"{SHA256} Bad"),
        ("a_txt", f"{SHA256.upper()},Bad"),
    ],
)
def test_each_kind_of_list_detects(tmp_path: Path, name: str, line: str) -> None:
    """A content is found by whichever digest a list has of it, under the list's name for it."""
    looking = engine(lists(tmp_path, **{name: line + "\n"}))
    assert looking.scan(Content.of_bytes(DATA, member="m")) == [Detection("Bad", "hashlist", "m")]
    assert looking.scan(Content.of_bytes(DATA + b".")) == []


def test_unwanted_software_is_suspicious(tmp_path: Path) -> None:
    """Names of unwanted software, and lists of it, give the lesser disposition."""
    looking = engine(lists(tmp_path, a_hdb=f"{MD5}:{SIZE}:PUA.Miner", b_hsu=f"{SHA256}:{SIZE}:Toolbar"))
    assert {d.disposition for d in looking.scan(Content.of_bytes(DATA))} == {Disposition.SUSPICIOUS}


class Counting(Content):
    """A content that notes which digests were asked for."""

    asked: tuple[str, ...] = ()

    @property
    def md5(self) -> bytes:
        """Note and compute."""
        self.asked += ("md5",)
        return super().md5

    @property
    def sha1(self) -> bytes:
        """Note and compute."""
        self.asked += ("sha1",)
        return super().sha1

    @property
    def sha256(self) -> bytes:
        """Note and compute."""
        self.asked += ("sha256",)
        return super().sha256


@pytest.mark.parametrize(
    ("files", "asked"),
    [
        ({}, ()),
        ({"a_hdb": f"{MD5}:{SIZE + 1}:Bad"}, ()),
        ({"a_hdb": f"{MD5}:{SIZE}:Bad"}, ("md5",)),
        ({"a_hsb": f"{SHA1}:*:Bad"}, ("sha1",)),
        ({"a_hsb": f"{SHA256}:{SIZE + 1}:Bad"}, ()),
        ({"a_sha256": SHA256}, ("sha256",)),
    ],
)
def test_only_digests_that_may_be_listed_are_computed(
    tmp_path: Path, files: dict[str, str], asked: tuple[str, ...]
) -> None:
    """A file whose size no list of a kind has is not hashed for that kind."""
    content = Counting.of_bytes(b"x" * SIZE)
    engine(lists(tmp_path, **files)).scan(content)
    assert isinstance(content, Counting)
    assert content.asked == asked


def test_bad_lines_are_named_and_the_good_ones_count(tmp_path: Path) -> None:
    """A bad line is a problem with file and line; comments and empty lines are none."""
    built = lists(tmp_path, a_hdb=f"# a comment\n\n{MD5}:{SIZE}:Bad\nnonsense\n{SHA1}:x:Bad\n")
    (source,) = built.sources
    assert (source.engine, source.path, source.signatures) == ("hashlist", f"{tmp_path}/a.hdb", 1)
    assert [problem.partition(": ")[0] for problem in source.problems] == [
        f"{tmp_path}/a.hdb:4",
        f"{tmp_path}/a.hdb:5",
    ]
    assert engine(built).scan(Content.of_bytes(DATA)) != []


def test_a_list_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A broken link among the lists is a problem of its own, and the others count."""
    (tmp_path / "gone.hdb").symlink_to(tmp_path / "nowhere")
    built = lists(tmp_path, a_hdb=f"{MD5}:{SIZE}:Bad")
    assert {source.path: source.problems for source in built.sources} == {
        f"{tmp_path}/a.hdb": (),
        f"{tmp_path}/gone.hdb": (f"{tmp_path}/gone.hdb: No such file or directory",),
    }


def test_entries_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the limit lists are not read on, and that is said."""
    monkeypatch.setattr(hashlist, "MAX_ENTRIES", 2)
    built = lists(tmp_path, a_sha256="\n".join(f"{n:064x}" for n in range(5)))
    assert built.sources[0].signatures == 2
    assert built.sources[0].problems == (f"{tmp_path}/a.sha256:3: over 2 entries in all: not read on",)


def test_the_fingerprint_is_of_the_content_alone(tmp_path: Path) -> None:
    """Other paths, other times and another order give the same number; other content another."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    one = lists(here, a_hdb=f"{MD5}:{SIZE}:Bad", b_sha256=SHA256)
    two = lists(there, z_hdb=f"{MD5}:{SIZE}:Bad", a_sha256=SHA256)
    assert one.content == two.content
    assert lists(there, z_hdb=f"{MD5}:{SIZE}:Worse").content != one.content


def test_the_suffix_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    """The same lines as a list of unwanted software mean something else."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    assert lists(here, a_hdb=f"{MD5}:1:B").content != lists(there, a_hdu=f"{MD5}:1:B").content


def test_many_entries_take_little_room(tmp_path: Path) -> None:
    """Tens of thousands of lines are packed into 44 bytes each, besides their names, and all are found."""
    generator = random.Random(5)
    digests = [generator.randbytes(32) for _ in range(30_000)]
    (tmp_path / "many.sha256").write_text("".join(f"{digest.hex()}\n" for digest in digests))
    built = build_lists([tmp_path])
    assert built.sources[0].signatures == 30_000
    assert sum(map(len, built.sections.values())) < 1_400_000
    looking = engine(built)
    for digest in digests[::300]:
        content = Content.of_bytes(b"")
        content._sha256 = digest
        assert [d.threat for d in looking.scan(content)] == ["Listed-Hash"]


def test_the_shipped_list_is_whole_and_detects() -> None:
    """The list that ships has no bad line and knows the test files."""
    built = build(EngineSettings())
    assert [source.problems for source in built.sources] == [()]
    looking = engine(built)
    assert [d.threat for d in looking.scan(Content.of_bytes(EICAR))] == ["Eicar-Test-Signature"]
    own = b"KVM-LIGHT-AGENT-%s-TEST-FILE\n" % b"HASHLIST"
    assert [d.threat for d in looking.scan(Content.of_bytes(own))] == ["KvmLightAgent-Test-Hash"]


def test_the_shipped_list_can_be_left_out() -> None:
    """An operator may want his own lists only."""
    assert build(EngineSettings(hashlist=HashlistSettings(shipped=False))).sources == ()
