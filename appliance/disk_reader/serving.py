"""Answers what `svm-host` asks, one thing after the other, until it hangs up."""

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, BinaryIO, Final

from appliance.disk_reader.bounds import Patience, why
from appliance.disk_reader.comparing import compared
from appliance.disk_reader.images import open_disk
from appliance.disk_reader.protocol import (
    BATCHES_KEPT,
    BUSY_SECONDS,
    FILES_OF_BATCH,
    MAX_CHUNK_BYTES,
    PATHS_OF_BATCH,
    Ended,
    Inbox,
    receive,
    send,
)
from appliance.disk_reader.trees.table import TREES
from appliance.disk_reader.trees.tree import Content
from appliance.disk_reader.unchanged import Unchanged
from appliance.disk_reader.volume import Volume
from appliance.disk_reader.volumes import volumes_of
from appliance.disk_reader.walking import Bounds, Found, Problem, Walk, read_whole

_BATCH_SECONDS: Final = 0.5
_FACTOR: Final = 4  # so many times its size may be hashed of a volume, and some bytes besides
_SOME_BYTES: Final = 1 << 30


@dataclass(slots=True)
class _Open:
    """What is open. walk: of the volume that was asked for last; layout: tells where files of it lie."""

    volumes: list[Volume]
    files: int
    file_bytes: int
    unchanged: Unchanged
    walk: Iterator[Found | Problem] | None = None
    layout: Callable[[Content], bytes | None] = lambda _content: None


class Reader:
    """The program, at its two pipes."""

    def __init__(self, came: int, goes: int, clock: Callable[[], float] = time.monotonic) -> None:
        """came, goes: descriptors. clock: monotonic seconds."""
        self._came = came
        self._goes = goes
        self._clock = clock
        self._inbox = Inbox()
        self._patience = Patience()
        self._open: _Open | None = None
        self._numbers = count(1)
        self._kept: OrderedDict[int, dict[int, Content]] = OrderedDict()  # by batch, then by file
        self._batches = 0
        self._said = clock()
        self._read = 0

    def run(self) -> None:
        """Answer until nobody asks any more."""
        while True:
            try:
                head, _ = receive(self._came, self._inbox)
            except Ended:
                return
            try:
                self._answer(head)
            except BrokenPipeError:
                return
            except Exception as error:
                self._say({"say": "failed", "why": why(error)})

    def _answer(self, head: dict[str, Any]) -> None:
        ask = head["ask"]
        if ask == "open":
            self._open_disks(head)
        elif ask == "walk":
            self._begin(int(head["volume"]))
        elif ask == "next":
            self._next()
        elif ask == "content":
            self._send_content(int(head["file"]))

    def _say(self, head: dict[str, Any], body: bytes = b"") -> None:
        send(self._goes, head, body)
        self._said = self._clock()

    def _alive(self, read: int) -> None:
        """Say now and then that work goes on."""
        self._read += read
        if self._clock() - self._said >= BUSY_SECONDS:
            self._say({"say": "busy", "bytes": self._taken()})

    def _taken(self) -> int:
        read, self._read = self._read, 0
        return read

    def _open_disks(self, head: dict[str, Any]) -> None:
        disks: list[BinaryIO | str] = []
        for layers in head["disks"]:
            try:
                with self._patience.for_step():
                    disks.append(open_disk(layers))
            except Exception as error:
                disks.append(f"the image cannot be read ({why(error)})")
        volumes = volumes_of(disks, self._patience)
        unchanged, unknown = compared(disks, head, self._patience)
        self._open = _Open(volumes, int(head["files"]), int(head["file_bytes"]), unchanged)
        keys = ("name", "size", "kind", "note", "harmless")
        told = [{key: getattr(each, key) for key in keys} for each in volumes]
        self._say({"say": "volumes", "volumes": told, "unknown": unknown})

    def _begin(self, number: int) -> None:
        assert self._open is not None
        volume = self._open.volumes[number]
        assert volume.stream is not None
        with self._patience.for_step():
            tree = TREES[volume.kind](volume.stream)
        most = _FACTOR * volume.size + _SOME_BYTES
        bounds = Bounds(self._open.files, self._open.file_bytes, most)
        known = partial(self._open.unchanged.digest, volume.kind, volume.pieces)
        self._open.walk = iter(Walk(tree, bounds, self._patience, self._alive, known))
        self._open.layout = partial(self._open.unchanged.layout, volume.kind, volume.pieces)
        self._say({"say": "walking"})

    def _next(self) -> None:
        assert self._open is not None
        assert self._open.walk is not None
        files: list[list[Any]] = []
        problems: list[list[str]] = []
        kept: dict[int, Content] = {}
        end, letters, done = self._clock() + _BATCH_SECONDS, 0, False
        while len(files) + len(problems) < FILES_OF_BATCH and letters < PATHS_OF_BATCH:
            found = next(self._open.walk, None)
            if found is None:
                done = True
                break
            letters += len(found.path)
            if isinstance(found, Problem):
                problems.append([found.path, found.sentence])
            else:
                number = next(self._numbers)
                kept[number] = found.content
                layout = self._open.layout(found.content)
                where = None if layout is None else layout.hex()
                files.append([number, found.path, found.size, found.sha256.hex(), where, found.unchanged])
            if self._clock() >= end:
                break
        self._keep(kept)
        self._say(
            {"say": "files", "files": files, "problems": problems, "bytes": self._taken(), "done": done}
        )

    def _keep(self, kept: dict[int, Content]) -> None:
        self._batches += 1
        self._kept[self._batches] = kept
        if len(self._kept) > BATCHES_KEPT:
            self._kept.popitem(last=False)

    def _send_content(self, number: int) -> None:
        content = next((files[number] for files in self._kept.values() if number in files), None)
        if content is None:
            self._say({"say": "failed", "why": "the file was told too long ago"})
            return
        last = b""
        for data in read_whole(content, self._patience, MAX_CHUNK_BYTES):
            if last:
                self._say({"say": "content", "more": True}, last)
            last = data
        self._say({"say": "content", "more": False}, last)


def serve(came: int, goes: int) -> None:
    """Run the program on two pipes."""
    os.set_blocking(came, True)
    Reader(came, goes).run()
