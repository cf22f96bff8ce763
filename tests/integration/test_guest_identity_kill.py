"""Whoever enrols or renews is killed at every line of the code: the guest is somebody, whole, or nobody."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from guest_stub.identity.store import IdentityStore
from tests.support.apart import ROOT, environment
from tests.support.enrolment_side_server import Register, TlsSideServer, enrolled, tls_serving

FEWEST_STEPS = 60  # or the killing does not work
MOST_STEPS = 1000


async def kills(story: str, directory: Path, side: TlsSideServer) -> list[dict[str, Any]]:
    """What was found after each kill; the last one is the end without a kill."""
    where = ["127.0.0.1", str(side.port), str(side.enrolment_port), side.authority.fingerprint]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.kill_enrol", story, str(directory), *where,
        cwd=ROOT, env=environment(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(300):
        out, err = await process.communicate()
    assert not err, err.decode()
    found = [json.loads(line) for line in out.splitlines()]
    assert len(found) > FEWEST_STEPS
    assert [kill["ended"] for kill in found] == [False] * (len(found) - 1) + [True]
    return found


async def test_a_guest_that_enrols(tmp_path: Path) -> None:
    """The same token makes it somebody at last, whatever was answered before; nothing is left over."""
    tokens = {f"t{number}" for number in range(1, MOST_STEPS)}
    async with tls_serving(register=Register(tokens=tokens)) as side:
        found = await kills("enrol", tmp_path, side)
        guests = {answer.guest for answer in side.register.answers.values()}
    for kill in found:
        assert kill["killed"]["whole"], kill
        assert kill["killed"]["guest"] in guests | {""}, kill
        assert kill["again"]["whole"], kill
        assert kill["again"]["guest"] in guests, kill
        assert kill["killed"]["guest"] in ("", kill["again"]["guest"]), kill
        assert kill["again"]["left"] == ["identity.json"], kill
    assert len(guests) == len(found)  # nobody enrolled twice by one token


async def test_a_guest_that_renews(tmp_path: Path) -> None:
    """It is always the same, with the old certificate or the new one; it can be renewed again."""
    async with tls_serving() as side:
        before = enrolled(side, IdentityStore(tmp_path / "before"))
        found = await kills("renew", tmp_path, side)
    for kill in found:
        for state in (kill["killed"], kill["again"]):
            assert (state["guest"], state["whole"]) == (before.guest, True), kill
        assert kill["again"]["certificate"] != before.certificate, kill
        assert kill["again"]["left"] == ["identity.json"], kill
    assert found[0]["killed"]["certificate"] == before.certificate
    assert found[-1]["killed"]["certificate"] != before.certificate
