"""Tests of appliance/scanning/builder.py: real builds in a real sandbox."""

import asyncio
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.config import ClamdSettings, EngineSettings, HashlistSettings, ScanningSettings, YaraSettings
from appliance.scanning.builder import BuildFailed, Built, build, order, worker_launch
from appliance.scanning.sandbox import Sandbox, SandboxUnavailable
from appliance.scanning.signatures import load_engines
from appliance.scanning.worker_wire import Order, Role
from tests.support.descriptors import open_descriptors
from tests.support.scanning import (
    DEADLINE,
    EICAR_ONLY,
    descendants,
    kill,
    odd_sandbox,
    sandbox,
    until,
    workers_below,
)

SCANNING = ScanningSettings()
RULE = 'rule here { strings: $a = "needle" condition: $a }'


def engines_with(rules: Path) -> EngineSettings:
    """The engines, with rules of one's own and none that ship."""
    return EngineSettings(yara=YaraSettings(shipped=False, rules_dirs=(rules,)))


@contextmanager
def closing(built: Built) -> Iterator[Built]:
    """Close the bundle at the end."""
    try:
        yield built
    finally:
        os.close(built.fd)


async def built_by(walls: Sandbox, engines: EngineSettings) -> Built:
    """A bundle, within the deadline."""
    return await asyncio.wait_for(build(walls, SCANNING, engines), DEADLINE)


@pytest.mark.parametrize("walled", [True, False], ids=["walled", "bare"])
async def test_signatures_are_built_from_directories_of_the_operators(tmp_path: Path, walled: bool) -> None:
    """Rules in a directory that only the builder sees end up in the bundle; bad ones are named with line."""
    (tmp_path / "good.yar").write_text(RULE)
    (tmp_path / "bad.yar").write_text("rule broken {\n condition: nothing_known\n}")
    with closing(await built_by(sandbox(walled), engines_with(tmp_path))) as built:
        sources = {Path(source.path).name: source for source in built.summary.sources}
        assert sources["good.yar"].signatures == 1
        assert any("bad.yar:2" in problem for problem in sources["bad.yar"].problems)
        assert {engine.name for engine in load_engines(built.fd, engines_with(tmp_path))} >= {"yara", "eicar"}
    assert not descendants()


async def test_the_bundle_cannot_be_changed_by_anybody() -> None:
    """It is sealed, and handed out for reading only, so that workers on older kernels can map it too."""
    before = open_descriptors()
    with closing(await built_by(sandbox(), EICAR_ONLY)) as built:
        assert fcntl.fcntl(built.fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE
        assert fcntl.fcntl(built.fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
        with pytest.raises(PermissionError):
            os.truncate(f"/proc/self/fd/{built.fd}", 0)
    assert open_descriptors() <= before


async def test_the_same_signatures_give_the_same_parts(tmp_path: Path) -> None:
    """Wherever they lie: the generation hangs on content alone."""
    parts = []
    for name in ("a", "b"):
        directory = tmp_path / name
        directory.mkdir()
        (directory / f"{name}.yar").write_text(RULE)
        with closing(await built_by(sandbox(), engines_with(directory))) as built:
            parts.append(sorted(built.summary.parts))
    assert parts[0] == parts[1]


async def test_a_missing_directory_is_a_problem_and_no_failure(tmp_path: Path) -> None:
    """The rest is built, and the directory is named."""
    with closing(await built_by(sandbox(), engines_with(tmp_path / "missing"))) as built:
        assert any(str(tmp_path / "missing") in source.path for source in built.summary.sources)


async def test_a_builder_that_is_killed_fails_the_build() -> None:
    """At once, with a sentence, and nothing is left."""
    before = open_descriptors()
    task = asyncio.get_running_loop().create_task(
        build(odd_sandbox("silent", walled=True), SCANNING, EICAR_ONLY)
    )
    await until(lambda: len(descendants()) == 2, "the builder runs in its sandbox")
    while not task.done():
        kill(workers_below())
        await asyncio.sleep(0.01)
    with pytest.raises(BuildFailed, match="the builder died"):
        await task
    assert not descendants()
    assert open_descriptors() <= before


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("refuses", "the signatures could not be read: it does not feel like it"),
        ("dies", "the builder died: this worker dies of itself"),
        ("lies", "the builder died: answered its order"),
        ("well", "the signatures could not be read: not a bundle"),
    ],
)
async def test_an_odd_builder_fails_the_build(how: str, sentence: str) -> None:
    """Whatever it does instead of building is said in a sentence."""
    with pytest.raises(BuildFailed, match=sentence):
        await built_by(odd_sandbox(how), EICAR_ONLY)


async def test_a_sandbox_that_does_not_work_is_said_so(tmp_path: Path) -> None:
    """What bubblewrap says, and what to do about it."""
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    with pytest.raises(SandboxUnavailable, match=r"No permissions.*install bubblewrap, or set"):
        await built_by(replace(sandbox(), bubblewrap=str(fake)), EICAR_ONLY)


async def test_settings_that_are_too_long_fail_the_build() -> None:
    """Thousands of directories do not fit into an order."""
    many = tuple(Path(f"/rules/{number:060}") for number in range(2000))
    with pytest.raises(BuildFailed, match="fewer directories"):
        await built_by(sandbox(), EngineSettings(hashlist=HashlistSettings(dirs=many)))


def test_only_with_clamd_do_workers_see_a_directory_of_this_machine(tmp_path: Path) -> None:
    """That of its socket; the operator's rules are for the builder alone."""
    engines = engines_with(tmp_path)
    assert worker_launch(sandbox(), SCANNING, engines, 3).readable == ()
    engines = replace(engines, clamd=ClamdSettings(enabled=True, socket=tmp_path / "run" / "clamd.ctl"))
    assert worker_launch(sandbox(), SCANNING, engines, 3).readable == (tmp_path / "run",)


def test_workers_are_bounded_as_configured() -> None:
    """scanning.worker_memory_mib is what a worker may have of its own."""
    message = order(Role.SCAN, sandbox(), replace(SCANNING, worker_memory_mib=300), EICAR_ONLY)
    confinement = Order.decode(message).confinement
    assert confinement.private_bytes == 300 << 20
    assert confinement.address_bytes > confinement.private_bytes
