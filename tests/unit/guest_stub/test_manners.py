"""Tests of a scan's manners."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from guest_stub.manners import RateLimit
from tests.support.apart import ROOT, environment

IDLE = """
import os, subprocess, threading
from guest_stub.manners import idle
print(repr(idle()))
def show():
    print(os.getpriority(os.PRIO_PROCESS, 0))
    command = ["ionice", "-p", str(threading.get_native_id())]
    print(subprocess.run(command, capture_output=True, text=True).stdout)
thread = threading.Thread(target=show)
thread.start()
thread.join()
"""


def after_stepping_back(how: str) -> list[str]:
    """What is said, and the priorities of a thread that begins later."""
    command = [sys.executable, "-c", IDLE.replace("import idle", f"import {how} as idle")]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment())
    return ended.stdout.split()


def test_idle_takes_the_lowest_priority() -> None:
    """Processor and disk priority are the lowest there are, also in threads that begin later."""
    assert after_stepping_back("idle") == ["''", "19", "idle"]


def test_a_thread_of_the_daemon_steps_back_a_little() -> None:
    """It may hold what the threads wait for that answer."""
    assert after_stepping_back("reads_beside_others") == ["''", "5", "idle"]
    assert after_stepping_back("walks_beside_others") == ["''", "5", "best-effort:", "prio", "7"]


def test_the_disk_priority_alone_is_taken_for_one_thread() -> None:
    """The processor's stays: a thread that waits for its turn would keep the interpreter from the others."""
    program = IDLE.replace("import idle", "import idle_disk as idle")
    program = program.replace("print(repr(idle()))", "").replace(
        "def show():", "def show():\n    print(idle())"
    )
    program += "show2 = subprocess.run(['ionice', '-p', str(os.getpid())], capture_output=True, text=True)\n"
    program += "print(show2.stdout)"
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment())
    assert ended.stdout.split()[:2] == ["0", "idle"]
    assert ended.stdout.split()[2:] != ["idle"]


class Time:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Tell it."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Pass the time."""
        self.now += seconds


def test_the_rate_is_held() -> None:
    """Ten pieces of a megabyte at a megabyte a second take nine seconds before the last one."""
    time = Time()
    limit = RateLimit(1e6, time, time.sleep)
    for _ in range(10):
        limit(1_000_000)
    assert time.now == 1009.0


def test_a_pause_gives_no_burst() -> None:
    """Time in which nothing was read is not made up for."""
    time = Time()
    limit = RateLimit(1e6, time, time.sleep)
    limit(1_000_000)
    time.now += 100
    limit(1_000_000)
    limit(1_000_000)
    assert time.now == 1101.0


def test_what_is_charged_counts_without_waiting() -> None:
    """Bytes that another thread sends hold up those that are read after them."""
    time = Time()
    limit = RateLimit(1e6, time, time.sleep)
    assert limit.charge(5_000_000) == 0.0
    assert time.now == 1000.0
    limit(1)
    assert time.now == 1005.0


def test_threads_share_the_rate() -> None:
    """The turns of several threads add up."""
    limit = RateLimit(1e6, lambda: 0.0, lambda _: None)
    with ThreadPoolExecutor(4) as pool:
        waits = sorted(pool.map(limit.charge, [1_000_000] * 8))
    assert waits == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
