"""A process that writes is killed at any point: what it had confirmed is there, and nothing else.

The writer is a process of its own. It says on its standard output what is flushed (or, for the state,
what a call returned for), and is killed with SIGKILL after a random number of such lines plus a random
moment, so that some kills fall into a commit.
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appliance.state.store import StateStore
from appliance.verdicts.store import VerdictStore
from tests.support import kill_writers

MAP = kill_writers.MAP_BYTES
ROUNDS = 6
LONGEST_WAIT = 0.02  # seconds after the last line that is read


def kill_after(arguments: list[str], lines: int, wait: float) -> int:
    """Start a writer, read so many of its lines, wait a moment and kill it; the last number it said."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "tests.support.kill_writers", *arguments]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(lines):
            said = writer.stdout.readline()
            assert said, "the writer ended by itself"
        time.sleep(wait)
        writer.kill()
        rest = writer.stdout.read().split("\n")
    whole = [line for line in [said.strip(), *rest[:-1]] if line]
    return int(whole[-1])


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_flushed_verdicts_survive_and_nothing_else_is_there(tmp_path: Path, seed: int) -> None:
    """Every verdict flushed before the kill is found as it was put; none is found that was not put."""
    source = random.Random(seed)
    for start in (0, 100_000):  # the second writer takes over what the first left behind
        lines, wait = source.randint(1, 40), source.uniform(0, LONGEST_WAIT)
        flushed = kill_after(["verdicts", str(tmp_path), str(start)], lines, wait)
        store = VerdictStore.open(tmp_path, MAP, lambda: 0.0)
        assert store.notice == ""
        numbers = range(start, flushed + 1)
        digests = list(map(kill_writers.digest, numbers))
        assert store.lookup(16, digests) == list(map(kill_writers.verdict, numbers))
        later = range(flushed + 1, flushed + 20_000)
        for number, found in zip(later, store.lookup(16, list(map(kill_writers.digest, later))), strict=True):
            assert found in (None, kill_writers.verdict(number))
        entries = store.stats().entries
        assert (
            store.lookup(16, [random.Random(number).randbytes(32) for number in range(100)]) == [None] * 100
        )
        store.close()
        assert entries >= len(numbers)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_confirmed_overrides_survive_and_each_has_its_audit(tmp_path: Path, seed: int) -> None:
    """Every override whose call returned is there as it was set; every one that is there is in the audit."""
    source = random.Random(seed)
    confirmed = kill_after(
        ["overrides", str(tmp_path)], source.randint(1, 60), source.uniform(0, LONGEST_WAIT)
    )
    state = StateStore.open(tmp_path, lambda: 0.0, 100_000)
    overrides = state.overrides()
    audited = [entry.digest for entry in reversed(list(state.audit(100_000)))]
    state.close()
    assert audited == [kill_writers.digest(number) for number in range(len(audited))]
    assert overrides == {
        (0, kill_writers.digest(number)): kill_writers.override(number) for number in range(len(audited))
    }
    assert confirmed < len(audited) <= confirmed + 2
