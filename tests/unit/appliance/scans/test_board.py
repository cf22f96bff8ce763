"""Tests of appliance/scans/board.py."""

import asyncio

from appliance.scans.board import Board


async def test_changes_since_a_version() -> None:
    """Each order once, by its last change; what was forgotten is none."""
    board = Board()
    for scan in (b"a", b"b", b"c", b"a"):
        board.touch(scan)
    assert board.since(0) == [b"b", b"c", b"a"]
    assert board.since(2) == [b"c", b"a"]
    assert board.since(board.version) == []
    board.forget(b"c")
    board.forget(b"never")
    assert board.since(0) == [b"b", b"a"]


async def test_who_follows_wakes_with_the_next_change() -> None:
    """At once where there was one already."""
    board = Board()
    board.touch(b"a")
    await board.changed(0)
    follower = asyncio.get_running_loop().create_task(board.changed(1))
    await asyncio.sleep(0)
    assert not follower.done()
    board.touch(b"a")
    await asyncio.wait_for(follower, 30)
