"""A reader who takes nothing is given up. Over real gRPC: test_events_admin, test_scans_admin."""

import asyncio
from typing import Any, cast

import pytest

from appliance.rpc.identity import Context
from appliance.rpc.patience import Patience
from appliance.rpc.places import NoPlace


class Reader:
    """A call's context whose reader takes what is sent, or does not."""

    def __init__(self, takes: bool) -> None:
        self.took: list[str] = []
        self._takes = takes

    async def write(self, reply: str) -> None:
        """Return when it is taken."""
        if not self._takes:
            await asyncio.Event().wait()
        self.took.append(reply)


def call(reader: Reader) -> Context:
    """The reader's call."""
    return cast("Context", cast("Any", reader))


async def test_who_reads_gets_it() -> None:
    """Whatever the patience is."""
    reader = Reader(takes=True)
    await Patience(30).send(call(reader), "one")
    assert reader.took == ["one"]


async def test_who_takes_nothing_is_told_why_he_is_cut() -> None:
    """And what to do."""
    with pytest.raises(NoPlace, match=r"nothing was taken for 0.01 s: read faster, or ask for less"):
        await Patience(0.01).send(call(Reader(takes=False)), "one")
