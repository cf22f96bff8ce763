"""The wiring of an SVM; its life as a process is in tests/integration/test_svm_lifecycle.py."""

import asyncio
import os
import resource
import signal
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.composition import build, serve
from appliance.config_limits import Limits
from appliance.doors import serve_guests
from appliance.rpc.server import CannotListen
from appliance.rpc.tickets import SocketInUse
from tests.support.svm import RawGuest, digest_of, running_svm, settings_in


class Reachable:
    """Where guests reach an SVM."""

    def __init__(self, target: str) -> None:
        """target: "unix:/path"."""
        self.target = target


async def test_it_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    """Guests attach once it is ready; SIGTERM ends it and leaves no socket behind."""
    settings = settings_in(tmp_path)
    ready = asyncio.Event()
    before = os.umask(0o022)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(serve(settings, ready.set))
            await ready.wait()
            assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 1024
            async with RawGuest.connect(Reachable(settings.server.listen)) as guest:
                assert len((await guest.ask(digest_of(b"x"))).outcomes) == 1
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        os.umask(before)
    assert [name for name in os.listdir(tmp_path) if name.endswith((".sock", ".id"))] == []


async def test_guests_on_tcp_need_certificates(tmp_path: Path) -> None:
    """Without what issues them the SVM does not start, and says what to do."""
    settings = settings_in(tmp_path)
    tcp = replace(settings, server=replace(settings.server, listen="tcp:127.0.0.1:1"))
    async with AsyncExitStack() as stack:
        parts = await build(tcp, stack)
        with pytest.raises(CannotListen, match=r"server\.listen is on TCP.*svm init"):
            await serve_guests(tcp, parts, stack)


async def test_callers_over_a_users_bound_are_refused_told_and_counted(tmp_path: Path) -> None:
    """The settings reach the guests' door; the operator reads who was refused, and why."""
    async with running_svm(tmp_path, Limits(tickets_per_user=2)) as svm:
        told: list[tuple[str, str, str]] = []
        svm.parts.sessions.on_breach.append(lambda guest, kind, why: told.append((guest.id, kind, why)))
        async with RawGuest.connect(svm), RawGuest.connect(svm):
            reader, writer = await asyncio.open_unix_connection(f"{tmp_path}/svm.sock.id")
            sentence = (await reader.read()).decode().strip()
            writer.close()
            assert "limits.tickets_per_user" in sentence
        assert told == [(f"uid-{os.getuid()}.pid-{os.getpid()}", "refused", sentence)]
        assert svm.parts.sessions.counts["tickets_refused"] == 1


async def test_a_socket_in_use_stops_the_start(tmp_path: Path) -> None:
    """A second SVM on the same socket ends with a sentence, and the first is not harmed."""
    async with running_svm(tmp_path) as svm:
        other = settings_in(tmp_path)
        elsewhere = replace(other, server=replace(other.server, state_dir=tmp_path / "other"))
        with pytest.raises(SocketInUse, match="another svm"):
            await serve(elsewhere)
        async with RawGuest.connect(svm) as guest:
            assert len((await guest.ask(digest_of(b"x"))).outcomes) == 1
