"""A real SVM on TCP, and stubs that are enrolled there: by the commands that people use."""

import asyncio
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.commands import svm_program
from tests.support.relay import free_port
from tests.support.stub_program import guest_stub
from tests.support.svm_process import SvmProcess, svm_process, write_config


@dataclass(frozen=True)
class Doors:
    """Where an SVM listens, whose things are in `directory`. port: guests'."""

    directory: Path
    port: int
    enrolment: int

    @property
    def listen(self) -> str:
        """Where guests ask, as settings have it, and --svm."""
        return f"tcp:127.0.0.1:{self.port}"

    @property
    def others(self) -> str:
        """The other doors, as settings have them."""
        return f'enrolment = "127.0.0.1:{self.enrolment}"'


def initialised(directory: Path) -> Doors:
    """An SVM that `svm init` was run for."""
    directory.mkdir(exist_ok=True)
    doors = Doors(directory, free_port(), free_port())
    config = write_config(directory, listen=doors.listen, doors=doors.others)
    ran = svm_program("init", "--config", config, "--address", "127.0.0.1")
    assert ran.code == 0, ran.err
    return doors


async def enrol(doors: Doors, *states: Path, options: Sequence[str] = ()) -> None:
    """Enrol stubs at the SVM that serves, a guest for each state directory. options: of its tokens."""
    words = ("guests", "token", "--json", "--socket", doors.directory / "admin.sock", *options)
    for state in states:
        ran = await asyncio.to_thread(svm_program, *words)
        assert ran.code == 0, ran.err
        command = shlex.split(ran.json["command"])[1:]  # as it is printed for a person
        ended = await guest_stub(*command, "--state", state)
        assert ended.code == 0, ended.err


async def enrolled(directory: Path, *states: Path) -> Doors:
    """An SVM that does not serve just now, at which these are enrolled."""
    doors = await asyncio.to_thread(initialised, directory)
    with svm_process(directory, listen=doors.listen, doors=doors.others) as svm:
        await enrol(doors, *states)
        ended(svm)
    return doors


def ended(svm: SvmProcess) -> None:
    """Have it stop."""
    svm.process.terminate()
    svm.wait()
