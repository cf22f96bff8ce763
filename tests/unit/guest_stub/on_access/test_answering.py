"""Tests of an event that waits for its answer."""

import asyncio
import os
from pathlib import Path

import pytest

from guest_stub.on_access.answering import Waiting, path_of, respond
from guest_stub.on_access.fanotify import OPEN_EXEC_PERM, OPEN_PERM
from guest_stub.on_access.policy import AccessPolicy, Operation
from tests.support.descriptors import open_descriptors
from tests.support.held_files import until
from tests.support.on_access_parts import Kernel, event_of

PATIENT = AccessPolicy(budgets={Operation.OPEN: 100.0, Operation.EXEC: 200.0})
HASTY = AccessPolicy(budgets={Operation.OPEN: 0.01, Operation.EXEC: 0.01})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file."""
    (tmp_path / "file").write_text("hello")
    return tmp_path / "file"


def nobody(waiting: Waiting) -> None:
    """For those whose budget is not spent."""
    raise AssertionError("the budget was spent")


@pytest.mark.parametrize("allow", [True, False])
async def test_the_first_answer_is_given_and_no_other(file: Path, allow: bool) -> None:
    """The descriptor goes with it, once."""
    kernel, before = Kernel(), open_descriptors()
    event = event_of(file)
    waiting = Waiting(event, kernel, PATIENT, nobody)
    assert not waiting.answered
    waiting.answer(allow)
    number = os.open(file, os.O_RDONLY)  # most likely the same one: it must not be closed by what follows
    waiting.answer(not allow)
    waiting.answer(allow)
    assert waiting.answered
    assert kernel.answers == [(event, allow)]
    os.close(number)
    assert open_descriptors() <= before


async def test_when_the_budget_is_spent_somebody_is_told(file: Path) -> None:
    """Once; and he answers."""
    kernel, told = Kernel(), list[Waiting]()

    def out_of_time(waiting: Waiting) -> None:
        told.append(waiting)
        waiting.answer(False)

    waiting = Waiting(event_of(file), kernel, HASTY, out_of_time)
    await until(lambda: bool(told))
    assert told == [waiting]
    assert kernel.allowed == [False]
    assert waiting.seconds_left == 0.0


async def test_who_was_answered_runs_out_of_nothing(file: Path) -> None:
    """The timer goes with the answer."""
    told: list[Waiting] = []
    waiting = Waiting(event_of(file), Kernel(), HASTY, told.append)
    waiting.answer(True)
    spent = asyncio.Event()
    asyncio.get_running_loop().call_later(0.03, spent.set)
    await spent.wait()
    assert told == []


@pytest.mark.parametrize(
    ("mask", "operation", "most"),
    [
        (OPEN_PERM, Operation.OPEN, 100.0),
        (OPEN_EXEC_PERM, Operation.EXEC, 200.0),
        (OPEN_PERM | OPEN_EXEC_PERM, Operation.EXEC, 200.0),
    ],
)
async def test_the_start_of_a_program_has_a_budget_of_its_own(
    file: Path, mask: int, operation: Operation, most: float
) -> None:
    """And so has an open."""
    waiting = Waiting(event_of(file, mask), Kernel(), PATIENT, nobody)
    assert waiting.operation is operation
    assert most - 50 < waiting.seconds_left <= most
    waiting.answer(True)


async def test_a_process_that_was_killed_is_no_error(file: Path) -> None:
    """The kernel refuses the answer; the descriptor is let go of all the same."""
    kernel, before = Kernel(), open_descriptors()
    kernel.refuses = True
    waiting = Waiting(event_of(file), kernel, PATIENT, nobody)
    waiting.answer(True)
    assert waiting.answered
    respond(kernel, event_of(file), False)
    assert open_descriptors() <= before


async def test_the_path_is_that_of_now(file: Path) -> None:
    """Renamed, it is the new one; deleted, it has none."""
    waiting = Waiting(event_of(file), Kernel(), PATIENT, nobody)
    assert waiting.path() == str(file)
    os.rename(file, f"{file}2")
    assert waiting.path() == f"{file}2"
    os.unlink(f"{file}2")
    assert waiting.path() == ""
    waiting.answer(True)
    assert path_of(-1) == ""


def test_a_name_that_looks_as_if_it_were_gone_is_a_name(file: Path) -> None:
    """The kernel marks a name that is gone by the same word as anybody may end a name with."""
    odd = file.rename(f"{file} (deleted)")
    fd = os.open(odd, os.O_RDONLY)
    assert path_of(fd) == str(odd)
    os.unlink(odd)
    assert path_of(fd) == ""
    odd.touch()
    Path(f"{odd} (deleted)").touch()  # another file at what the kernel tells now
    assert path_of(fd) == ""
    os.close(fd)
