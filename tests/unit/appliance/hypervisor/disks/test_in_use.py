"""Images that a real QEMU has open."""

import os
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from appliance.hypervisor.disks.chain import open_chain
from appliance.hypervisor.disks.in_use import Standing, is_written
from tests.support.disk_images import converted, empty
from tests.support.svm import DEADLINE


def test_who_writes_to_an_image_is_seen(tmp_path: Path) -> None:
    """Who reads it is none; and what was written shows afterwards."""
    image = converted(empty(tmp_path / "a.raw", 1), tmp_path / "a.qcow2")
    with ExitStack() as stack:
        chain = open_chain(image, "", stack)
        before = Standing.of(chain)
        assert before.writer == ""
        words = ["qemu-nbd", "-f", "qcow2", "-t", "-k", str(tmp_path / "socket"), str(image)]
        with subprocess.Popen([*words[:1], "-r", *words[1:]]) as reading:
            try:
                wait_until((tmp_path / "socket").exists)
                assert not is_written(chain.top.fds[0])
            finally:
                reading.kill()
        (tmp_path / "socket").unlink(missing_ok=True)
        with subprocess.Popen(words) as writing:
            try:
                wait_until(lambda: Standing.of(chain).writer == str(image))
            finally:
                writing.kill()
        os.utime(image, ns=(1, 1))
        assert Standing.of(chain) != before


def wait_until(is_so: Callable[[], bool]) -> None:
    """Return when something is so."""
    end = time.monotonic() + DEADLINE
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)
