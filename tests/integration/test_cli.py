"""The `svm` commands against a real `svm serve`, while a guest is attached to it."""

import asyncio
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lightagent.v1 import guest_pb2, verdict_pb2
from prometheus_client.parser import text_string_to_metric_families

from appliance.console.figures import FIGURES
from tests.support import commands
from tests.support.commands import Ran
from tests.support.contents import EICAR
from tests.support.svm import RawGuest, digest_of, next_message
from tests.support.svm_process import SvmProcess, svm_process, write_config

DIGEST = digest_of(EICAR)
HEX = DIGEST.hex()


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    """A directory of hash lists that the SVM reads."""
    directory = tmp_path / "lists"
    directory.mkdir()
    (directory / "ours.hsb").write_text(f"{'ab' * 32}:*:Ours.First\n")
    return directory


@pytest.fixture
def running(tmp_path: Path, lists: Path) -> Iterator[SvmProcess]:
    """An SVM with the hash lists and the EICAR engine."""
    with svm_process(tmp_path, hashlists=lists) as process:
        yield process


async def svm(running: SvmProcess, *arguments: object) -> Ran:
    """Run a command against the SVM, whose settings name its sockets."""
    environ = {"KVMLA_CONFIG": str(running.directory / "svm.toml")}
    return await asyncio.to_thread(commands.svm, *arguments, environ=environ, now=time.time())


async def outcome(guest: RawGuest) -> int:
    """What the SVM says of EICAR at once."""
    return int((await guest.ask(DIGEST)).outcomes[0])


async def test_an_override_counts_for_guests_until_it_is_cleared(running: SvmProcess) -> None:
    """Scanned, shown, allowed with the guest told, audited, cleared, asked for anew."""
    async with RawGuest.connect(running) as guest:
        assert (await svm(running, "verdicts", "show", HEX)).code == 1
        reply = await guest.ask(DIGEST)
        assert (await guest.send(reply.details[0].lease, EICAR)).outcome == verdict_pb2.OUTCOME_MALICIOUS
        shown = (await svm(running, "verdicts", "show", HEX, "--json")).json
        assert (shown["verdict"]["outcome"], shown["verdict"]["engine"]) == ("MALICIOUS", "eicar")
        assert shown["verdict"]["current"] is True

        allow = ("--allow", "--reason", "a test file", "--expires", "12h")
        assert (await svm(running, "verdicts", "set", HEX, *allow)).code == 0
        told = await next_message(guest.attach)
        assert isinstance(told, guest_pb2.AttachReply)
        assert list(told.revocation.sha256) == [DIGEST]
        assert await outcome(guest) == verdict_pb2.OUTCOME_CLEAN
        shown = (await svm(running, "verdicts", "show", HEX, "--json")).json
        assert (shown["override"]["action"], shown["verdict"]["outcome"]) == ("allow", "MALICIOUS")

        assert (await svm(running, "verdicts", "clear", HEX, "--reason", "done")).code == 0
        assert await outcome(guest) == verdict_pb2.OUTCOME_CONTENT_NEEDED
        assert (await svm(running, "verdicts", "clear", HEX)).code == 1
        audit = (await svm(running, "audit", "--json")).json
    done = [(entry["action"], entry["reason"]) for entry in reversed(audit)]
    assert done[:2] == [("allow", "a test file"), ("clear", "done")]
    assert {entry["digest"] for entry in audit} == {HEX}


async def test_an_override_outlives_the_svm(running: SvmProcess, lists: Path) -> None:
    """It was durable when the command returned: kill -9 right after it takes nothing away."""
    assert (await svm(running, "verdicts", "set", HEX, "--block", "--reason", "because")).code == 0
    running.signal(signal.SIGKILL)
    await asyncio.to_thread(running.wait)
    with svm_process(running.directory, hashlists=lists) as again:
        async with RawGuest.connect(again) as guest:
            assert await outcome(guest) == verdict_pb2.OUTCOME_MALICIOUS
        [entry] = (await svm(again, "audit", "--json")).json
        assert (entry["action"], entry["reason"]) == ("block", "because")


async def test_status_shows_the_guest_and_its_engines(running: SvmProcess) -> None:
    """Who is attached, what it asked for and sent, and that every engine is ready."""
    async with RawGuest.connect(running) as guest:
        reply = await guest.ask(DIGEST)
        await guest.send(reply.details[0].lease, EICAR)
        ran = await svm(running, "status", "--json")
    assert ran.code == 0
    status = ran.json
    [attached] = status["guests"]
    assert (attached["host_name"], attached["digests_asked"]) == ("raw", 1)
    assert attached["bytes_uploaded"] == len(EICAR)
    assert {engine["name"] for engine in status["engines"] if engine["ready"]} == {"eicar", "hashlist"}
    assert status["unsandboxed"] is False
    assert status["figures"]["engine_bytes"] == len(EICAR)


async def test_every_figure_is_in_the_table(running: SvmProcess) -> None:
    """What the SVM counts has a kind and a meaning, and what the table promises is counted."""
    async with RawGuest.connect(running) as guest:
        reply = await guest.ask(DIGEST)
        await guest.send(reply.details[0].lease, EICAR)
        figures = (await svm(running, "status", "--json")).json["figures"]
    elsewhere = ("ends_", "ksn_", "identity_")  # after `svm init` alone, for the last
    happened = {name for name in FIGURES if not name.startswith(elsewhere)} | {"ends_malicious"}
    assert set(figures) == happened


async def test_signatures_are_listed_and_reloaded(running: SvmProcess, lists: Path) -> None:
    """A new list is in use after reload; a bad line of it is told by file and line."""
    listed = (await svm(running, "signatures", "list", "--json")).json
    assert [source["signatures"] for source in listed["sources"]] == [1]
    (lists / "more.hsb").write_text(f"{HEX}:*:Ours.Second\nnot a line\n")
    ran = await svm(running, "signatures", "reload")
    assert ran.code == 1
    assert f"{lists}/more.hsb:2: " in ran.out
    assert f"generation {listed['generation']} -> " in ran.out
    again = await svm(running, "signatures", "list", "--json")
    assert sum(source["signatures"] for source in again.json["sources"]) == 2
    unchanged = await svm(running, "signatures", "reload", "--json")
    assert unchanged.json["generation"] == unchanged.json["generation_before"]


async def test_the_cache_is_read_while_the_svm_serves_from_it(running: SvmProcess) -> None:
    """`svm cache stats` needs no socket and disturbs nobody."""
    async with RawGuest.connect(running) as guest:
        reply = await guest.ask(DIGEST)
        await guest.send(reply.details[0].lease, EICAR)
        async with asyncio.timeout(30):
            while (await svm(running, "cache", "stats", "--json")).json["entries"] != 1:
                pass
        assert await outcome(guest) == verdict_pb2.OUTCOME_MALICIOUS


async def test_metrics_are_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prometheus reads the same figures, with their kinds."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def with_metrics(*arguments: Any) -> Path:
        config = write_config(*arguments)
        config.write_text(config.read_text().replace("[server]", f'[server]\nmetrics = "127.0.0.1:{port}"'))
        return config

    monkeypatch.setattr("tests.support.svm_process.write_config", with_metrics)
    with svm_process(tmp_path) as running:
        async with RawGuest.connect(running) as guest:
            await guest.ask(DIGEST)
            body = await asyncio.to_thread(_get, f"http://127.0.0.1:{port}/metrics")
    families = {family.name: family for family in text_string_to_metric_families(body)}
    assert families["kvmla_guests_attached"].samples[0].value == 1
    assert families["kvmla_protection_digests"].type == "counter"
    assert families["kvmla_protection_digests"].samples[0].value == 1
    assert families["kvmla_svm_info"].samples[0].labels["version"]


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as reply:
        text: str = reply.read().decode()
        return text


async def test_commands_say_when_the_svm_is_gone(running: SvmProcess) -> None:
    """After a stop its sockets are gone; after kill -9 they are left behind: both end in one line."""
    running.signal(signal.SIGKILL)
    await asyncio.to_thread(running.wait)
    assert (running.directory / "admin.sock").exists()
    ran = await svm(running, "status")
    assert (ran.code, ran.out) == (2, "")
    assert "is `svm serve` running?" in ran.err
    with svm_process(running.directory) as again:
        again.signal(signal.SIGTERM)
        await asyncio.to_thread(again.wait)
    assert not (running.directory / "admin.sock").exists()
    assert (await svm(running, "status")).code == 2
