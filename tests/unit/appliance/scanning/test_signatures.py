"""Tests of appliance/scanning/signatures.py."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.config import (
    ClamdSettings,
    EicarSettings,
    EngineSettings,
    HashlistSettings,
    UnpackLimits,
    YaraSettings,
)
from appliance.scanning.bundle import Bundle, BundleError, Summary
from appliance.scanning.engines.content import Content
from appliance.scanning.inspection import inspect
from appliance.scanning.signatures import build, load_engines
from tests.support import archives
from tests.support.contents import EICAR


@contextmanager
def dumped(bundle: Bundle) -> Iterator[int]:
    """The descriptor of a bundle."""
    fd = os.memfd_create("bundle")
    try:
        bundle.dump(fd)
        yield fd
    finally:
        os.close(fd)


def own(directory: Path) -> EngineSettings:
    """Settings with rules and lists of one's own below `directory` only."""
    return EngineSettings(
        yara=YaraSettings(shipped=False, rules_dirs=(directory,)),
        hashlist=HashlistSettings(shipped=False, dirs=(directory,)),
    )


def test_what_is_built_scans() -> None:
    """Engines that are loaded from a bundle detect, also what stands in a container."""
    settings = EngineSettings()
    with dumped(build(settings)) as fd:
        engines = load_engines(fd, settings)
    assert [engine.name for engine in engines] == ["eicar", "hashlist", "yara"]
    content = Content.of_bytes(archives.zipped({"eicar.com": EICAR}))
    found = inspect(engines, content, UnpackLimits()).detections
    assert {(d.engine, d.member) for d in found} == {("eicar", "eicar.com"), ("hashlist", "eicar.com")}


def test_engines_that_are_off_are_neither_built_nor_loaded(tmp_path: Path) -> None:
    """A setting turns an engine off wholly: no source of it is read."""
    settings = EngineSettings(
        yara=YaraSettings(enabled=False, rules_dirs=(tmp_path / "nowhere",)),
        hashlist=HashlistSettings(enabled=False),
        eicar=EicarSettings(enabled=False),
        clamd=ClamdSettings(enabled=True, socket=tmp_path / "clamd.ctl"),
    )
    bundle = build(settings)
    assert bundle.summary.sources == ()
    assert [engine for engine, _, _ in bundle.summary.parts] == ["unpacking"]
    with dumped(bundle) as fd:
        assert [engine.name for engine in load_engines(fd, settings)] == ["clamd"]


def test_the_same_content_gives_the_same_parts(tmp_path: Path) -> None:
    """Whether rules and lists are moved, touched or renamed: their content makes the generation."""
    here, there = tmp_path / "here", tmp_path / "there"
    for directory in (here, there):
        directory.mkdir()
    (here / "a.yar").write_text("rule a { condition: true }")
    (here / "a.sha256").write_text("00" * 32)
    (there / "z.yar").write_text("rule a { condition: true }")
    (there / "z.sha256").write_text("00" * 32)
    os.utime(there / "z.yar", (1, 1))
    assert build(own(here)).summary.parts == build(own(there)).summary.parts


@pytest.mark.parametrize(("name", "text"), [("b.yar", "rule b { condition: true }"), ("b.sha256", "11" * 32)])
def test_other_content_gives_other_parts_until_it_is_taken_back(tmp_path: Path, name: str, text: str) -> None:
    """A new rule or line moves the generation on; rolling it back brings the old one back."""
    (tmp_path / "a.yar").write_text("rule a { condition: true }")
    before = build(own(tmp_path)).summary.parts
    (tmp_path / name).write_text(text)
    assert build(own(tmp_path)).summary.parts != before
    (tmp_path / name).unlink()
    assert build(own(tmp_path)).summary.parts == before


def test_sources_tell_what_is_loaded_and_what_is_wrong(tmp_path: Path) -> None:
    """Every file of every engine is listed, with its problems."""
    (tmp_path / "a.yar").write_text("rule a { condition: true }\nnonsense\n")
    (tmp_path / "a.sha256").write_text("00" * 32 + "\nnonsense\n")
    sources = build(own(tmp_path)).summary.sources
    assert [(s.engine, s.path, s.signatures, len(s.problems)) for s in sources] == [
        ("hashlist", f"{tmp_path}/a.sha256", 1, 1),
        ("yara", f"{tmp_path}/a.yar", 1, 1),
    ]


def test_a_bundle_of_other_settings_is_refused() -> None:
    """An engine that was off when the bundle was built cannot be loaded from it."""
    settings = EngineSettings()
    without = replace(settings, yara=YaraSettings(enabled=False))
    with dumped(build(without)) as fd, pytest.raises(BundleError, match="other settings"):
        load_engines(fd, settings)


def test_rules_that_yara_does_not_read_are_refused() -> None:
    """Rules of another version of YARA-X, or none at all, are a sentence and not a crash."""
    settings = replace(EngineSettings(), hashlist=HashlistSettings(enabled=False))
    broken = Bundle(Summary((), ()), {"yara.rules": b"no rules"})
    with dumped(broken) as fd, pytest.raises(BundleError, match="rules that YARA-X does not read"):
        load_engines(fd, settings)
