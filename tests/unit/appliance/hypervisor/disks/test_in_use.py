"""Images that a real QEMU has open."""

import os
import subprocess
import time
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
            wait_for(tmp_path / "socket")
            assert not is_written(chain.top.fds[0])
            reading.terminate()
        (tmp_path / "socket").unlink(missing_ok=True)
        with subprocess.Popen(words) as writing:
            wait_for(tmp_path / "socket")
            assert Standing.of(chain).writer == str(image)
            writing.terminate()
        os.utime(image, ns=(1, 1))
        assert Standing.of(chain) != before


def wait_for(path: Path) -> None:
    """Return when there is a file."""
    end = time.monotonic() + DEADLINE
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.02)
