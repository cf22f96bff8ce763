"""Tests of the line to the SVM over its restarts."""

import asyncio
from pathlib import Path

import pytest

from guest_stub.line import Line
from guest_stub.svm_link.link import SvmUnreachable
from tests.support.guest_side_server import Behaviour, serving
from tests.support.held_files import Listener, until
from tests.support.stub_scans import LABELS


async def test_no_svm_at_the_begin_is_said_at_once(tmp_path: Path) -> None:
    """Nobody waits for an SVM that was never there."""
    with pytest.raises(SvmUnreachable, match="is the SVM running"):
        await Line.open(f"unix:{tmp_path}/svm.sock", LABELS, Listener())


async def test_the_same_link_is_used_as_long_as_it_lives(tmp_path: Path) -> None:
    """Nothing is opened again without need."""
    async with serving(tmp_path / "svm.sock") as server:
        async with await Line.open(server.target, LABELS, Listener()) as line:
            assert await line.link() is await line.link() is line.current
        assert len(server.hellos) == 1


async def test_an_svm_that_restarts_is_reached_again(tmp_path: Path) -> None:
    """A lost link is replaced by one to the new SVM, with its generation; who waits gets the same one."""
    listener = Listener()
    async with serving(tmp_path / "svm.sock") as server:
        line = await Line.open(server.target, LABELS, listener)
    await until(line.current.lost.is_set)
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(line.link()) for _ in range(3)]
        async with serving(tmp_path / "svm.sock", Behaviour(generation=8)) as server:
            links = [await task for task in waiting]
            assert links[0] is links[1] is links[2] is line.current
            assert line.current.generation == 8
            assert len(server.hellos) == 1
            await line.link()
    async with line:
        pass


async def test_the_patience_is_bounded(tmp_path: Path) -> None:
    """An SVM that stays away is given up, and then at once for everybody."""
    async with serving(tmp_path / "svm.sock") as server:
        line = await Line.open(server.target, LABELS, Listener())
        line.patience = 0.3
    await until(line.current.lost.is_set)
    for _ in range(3):
        with pytest.raises(SvmUnreachable, match=r"nor did it come back within 0\.3 s"):
            await line.link()
    async with line:
        pass
