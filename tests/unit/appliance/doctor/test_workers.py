"""A real worker in its sandbox."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.config import EngineSettings, HashlistSettings, ScanningSettings, Settings, YaraSettings
from appliance.doctor.workers import Probed, as_json, probe, probe_as_owner, probed_from, restrictions
from appliance.scanning.sandbox import UNSANDBOXED
from tests.support.svm import EICAR_ONLY

SETTINGS = Settings(engines=EICAR_ONLY)


def marks(probed: Probed) -> list[tuple[str, bool | None]]:
    """What is well and what is not."""
    return [(each.what, each.good) for each in probed.findings]


async def test_a_worker_comes_up_in_its_sandbox_and_detects_the_test_file() -> None:
    """And its system calls are filtered."""
    probed = await probe(SETTINGS, whole=False)
    assert marks(probed) == [("sandbox", True), ("seccomp", True), ("worker", True)]
    assert probed.findings[0].said.endswith("a worker came up in it")


async def test_with_all_signatures_what_is_wrong_in_them_is_told(tmp_path: Path) -> None:
    """The engines are as an SVM would have them."""
    (tmp_path / "bad.yar").write_text("rule broken {")
    (tmp_path / "good.yar").write_text("rule good { condition: false }")
    yara = YaraSettings(shipped=False, rules_dirs=(tmp_path,))
    engines = EngineSettings(yara=yara, hashlist=HashlistSettings(enabled=False))
    probed = await probe(replace(SETTINGS, engines=engines), whole=True)
    assert marks(probed) == [("sandbox", True), ("seccomp", True), ("worker", True)]
    problems = {Path(source.path).name: bool(source.problems) for source in probed.sources}
    assert problems == {"bad.yar": True, "good.yar": False}
    assert {engine.name for engine in probed.engines} == {"yara", "eicar"}


async def test_signatures_that_do_not_fit_a_worker_are_told_apart_from_the_sandbox(tmp_path: Path) -> None:
    """A sandbox that works is called so, whatever the signatures are."""
    (tmp_path / "list.sha256").write_text(
        "".join(f"{number:064x}  Name{number}\n" for number in range(600_000))
    )
    engines = EngineSettings(
        yara=YaraSettings(enabled=False), hashlist=HashlistSettings(shipped=False, dirs=(tmp_path,))
    )
    scanning = ScanningSettings(worker_memory_mib=128)
    probed = await probe(Settings(engines=engines, scanning=scanning), whole=True)
    assert marks(probed) == [("sandbox", True), ("seccomp", True), ("worker", True), ("signatures", False)]


async def test_a_sandbox_that_is_given_up_is_to_be_known() -> None:
    """Whatever the worker does."""
    settings = replace(SETTINGS, scanning=ScanningSettings(sandbox=UNSANDBOXED))
    assert marks(await probe(settings, whole=False)) == [("sandbox", None), ("worker", True)]


async def test_without_bubblewrap_the_sandbox_is_amiss(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says what to install."""
    monkeypatch.setenv("PATH", "/nowhere")
    (finding,) = (await probe(SETTINGS, whole=False)).findings
    assert finding.good is False
    assert "install bubblewrap" in finding.said
    (finding,) = (await probe(SETTINGS, whole=True)).findings
    assert finding.good is False


def test_settings_of_the_machine_that_keep_sandboxes_out_are_named(tmp_path: Path) -> None:
    """Those alone that are set so."""
    (tmp_path / "off").write_text("0\n")
    (tmp_path / "on").write_text("1\n")
    files = (
        (tmp_path / "off", "0", "do a"),
        (tmp_path / "on", "0", "do b"),
        (tmp_path / "none", "0", "do c"),
    )
    assert restrictions(files) == "; do a"


def test_what_another_process_says_comes_over_whole() -> None:
    """Findings, sources and engines; what is none of that is refused."""
    probed = asyncio.run(probe(replace(SETTINGS, engines=EngineSettings()), whole=True))
    assert len(probed.sources) > 1
    assert probed_from(as_json(probed).encode()) == probed
    for said in (b"", b"[]", b"{}", b'{"findings": [{}], "sources": [], "engines": []}'):
        with pytest.raises(ValueError):  # noqa: PT011  # of JSON, or of what is missing
            probed_from(said)


def test_the_owner_of_the_state_tries_it_himself(tmp_path: Path) -> None:
    """Whoever runs this, where the directory is his."""
    assert marks(probe_as_owner(SETTINGS, None, whole=False, owner=tmp_path.stat()))[0] == ("sandbox", True)


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user's place")
def test_root_tries_it_as_the_user_whom_the_state_belongs_to(tmp_path: Path) -> None:
    """The SVM runs as that one, who may lack what root has: the interpreter's directory, or namespaces."""
    os.chown(tmp_path, 65534, 65534)
    finding = probe_as_owner(SETTINGS, None, whole=False, owner=tmp_path.stat()).findings[0]
    assert finding.what == "sandbox"
    assert "user 65534" in finding.said
