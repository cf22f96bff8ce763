"""The program's answers, over two pipes, in a thread of this process's own."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.disk_reader.protocol import BATCHES_KEPT, Inbox, receive, send
from tests.support.disk_images import ext4, write_tree


class Asking:
    """The other side of the program."""

    def __init__(self, image: Path) -> None:
        self.fd = os.open(image, os.O_RDONLY)
        words = [sys.executable, "-m", "appliance.disk_reader"]
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[self.fd]
        )
        self.inbox = Inbox()

    def ask(self, **head: Any) -> tuple[dict[str, Any], bytes]:
        """Its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        send(self.process.stdin.fileno(), head)
        while True:
            message = receive(self.process.stdout.fileno(), self.inbox)
            if message[0]["say"] != "busy":
                return message

    def open(self, **comparison: Any) -> dict[str, Any]:
        """What it says of the disk."""
        layers = [{"format": "raw", "fds": [self.fd], "extents": []}]
        return self.ask(ask="open", disks=[layers], files=1000, file_bytes=1 << 30, **comparison)[0]

    def close(self) -> None:
        """Hang up."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        assert self.process.wait(30) == 0
        self.process.stdout.close()
        os.close(self.fd)


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[Asking]:
    """The program, about an image of a tree."""
    write_tree(tmp_path / "tree")
    asking = Asking(ext4(tmp_path / "tree", tmp_path / "image"))
    yield asking
    asking.close()


def test_volumes_files_and_contents_are_told(asking: Asking) -> None:
    """A content is what its digest was taken of."""
    (volume,) = asking.open()["volumes"]
    assert (volume["name"], volume["kind"], volume["size"]) == ("disk", "ext4", 32 << 20)
    assert asking.ask(ask="walk", volume=0)[0]["say"] == "walking"
    files: list[list[Any]] = []
    done = False
    while not done:
        head, _ = asking.ask(ask="next")
        files += head["files"]
        done = head["done"]
        assert head["problems"] == []
    by_path = {path: (number, size, digest, layout) for number, path, size, digest, layout, _ in files}
    number, size, digest, layout = by_path["/etc/block"]
    head, body = asking.ask(ask="content", file=number)
    assert (len(body), head["more"]) == (size, False)
    assert hashlib.sha256(body).hexdigest() == digest
    assert layout is None  # the disk is not followed


def test_of_a_disk_that_is_followed_each_file_has_a_layout_of_its_own(asking: Asking) -> None:
    """But for those that have the same bytes in no place at all: none of theirs is kept apart."""
    track = {"number": 5, "bitmap": "", "fd": -1}
    assert asking.open(tracks=[track], base=None)["unknown"] == [""]
    asking.ask(ask="walk", volume=0)
    head, _ = asking.ask(ask="next")
    layouts = [layout for _, _, size, _, layout, unchanged in head["files"] if size and not unchanged]
    assert len(layouts) > 100
    assert len(set(layouts)) == len(layouts)


def test_a_bitmap_that_cannot_be_read_is_a_sentence(asking: Asking) -> None:
    """The disk is read all the same."""
    track = {"number": 5, "bitmap": "b", "fd": asking.fd}
    (why,) = asking.open(tracks=[track], base=None)["unknown"]
    assert why == "the image has not the dirty bitmap of the last scan"
    assert asking.ask(ask="walk", volume=0)[0]["say"] == "walking"


def test_a_question_that_cannot_be_answered_has_an_answer(asking: Asking) -> None:
    """The program goes on."""
    asking.open()
    assert asking.ask(ask="content", file=99)[0]["why"] == "the file was told too long ago"
    assert asking.ask(ask="walk", volume=7)[0]["say"] == "failed"
    assert asking.ask(ask="walk", volume=0)[0]["say"] == "walking"
    assert BATCHES_KEPT > 4
