"""Tests of what doctor says of the port by which this machine's host has it enrol."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from guest_stub.cli.host_findings import host_finding
from guest_stub.cli.setup import Setup
from guest_stub.identity.kept import by_host
from guest_stub.identity.port import PORT_NAME, Ports, PortState
from tests.unit.guest_stub.cli.test_identity_findings import DAY, keep, setup_in
from tests.unit.guest_stub.identity.test_kept import SOUND


class Machine:
    """A machine in a directory, with a pseudo-terminal as its port. host: the other end."""

    def __init__(self, directory: Path) -> None:
        self.ports = Ports(directory / "named", directory / "known", directory / "dev")
        self.ports.named.mkdir()
        self._ends: list[int] = []

    def plug(self, attended: bool = True) -> None:
        """Have the port."""
        self._ends = list(os.openpty())
        # By its descriptor: the name of one whose other end is closed is gone.
        (self.ports.named / PORT_NAME).symlink_to(f"/proc/self/fd/{self._ends[1]}")
        if not attended:
            os.close(self._ends.pop(0))

    def close(self) -> None:
        """Both ends."""
        for end in self._ends:
            os.close(end)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """One without a port."""
    machine = Machine(tmp_path)
    yield machine
    machine.close()


def found(setup: Setup, machine: Machine) -> tuple[bool | None, str]:
    """Whether it is good, and what is said."""
    finding = host_finding(setup, machine.ports)
    assert finding.what == "host port"
    return finding.good, finding.said


def test_a_guest_that_is_nobody_is_told_how_to_enrol(tmp_path: Path, machine: Machine) -> None:
    """Without the port somebody has to plug it, or to type a token."""
    good, said = found(setup_in(tmp_path), machine)
    assert good is None
    assert said.startswith(
        f"this machine has no port {PORT_NAME}: have its host plug it (svm-host enrol), or"
    )


def test_a_guest_that_is_nobody_waits_for_its_host(tmp_path: Path, machine: Machine) -> None:
    """It is the host's turn where nobody is at the port, else guest-stub run's."""
    machine.plug(attended=False)
    good, said = found(setup_in(tmp_path), machine)
    assert (good, "is svm-host serve running there" in said) == (False, True)
    assert said.startswith("this guest is not enrolled, and waits for its host: ")


def test_where_the_host_is_there_guest_stub_run_enrols(tmp_path: Path, machine: Machine) -> None:
    """That is nothing amiss, if it runs."""
    machine.plug()
    good, said = found(setup_in(tmp_path), machine)
    assert (good, "guest-stub run enrols it by itself" in said) == (None, True)


@pytest.mark.parametrize("attended", [True, False])
def test_who_has_an_identity_is_told_whose_word_it_is(
    tmp_path: Path, machine: Machine, attended: bool
) -> None:
    """And whether the port is there for the next time."""
    setup, now = setup_in(tmp_path), time.time()
    keep(setup, -DAY, DAY, 2 * DAY)
    assert found(setup, machine) == (
        None,
        f"this guest has its identity, by a token, and the machine no port {PORT_NAME}",
    )
    machine.plug(attended)
    assert found(setup, machine)[0] is (True if attended else None)
    ours = replace(
        SOUND, asked_with=by_host(SOUND.guest), begins=now - 1, renew_at=now + DAY, ends=now + 2 * DAY
    )
    with setup.identity.open() as opened:
        opened.keep(ours)
    good, said = found(
        replace(setup, identity=type(setup.identity)(setup.identity.state, lambda: "")), machine
    )
    assert good is (True if attended else None)
    assert said.startswith("this guest has its identity by the word of its host")
    assert ("svm-host serve" in said) is not attended


def test_a_copy_is_told_to_enrol_for_itself(tmp_path: Path, machine: Machine) -> None:
    """It has an identity, which is another's."""
    setup, now = setup_in(tmp_path), time.time()
    copied = replace(
        SOUND, asked_with=by_host(SOUND.guest), begins=now - 1, renew_at=now + DAY, ends=now + DAY
    )
    with setup.identity.open() as opened:
        opened.keep(copied)
    machine.plug(attended=False)
    store = type(setup.identity)(setup.identity.state, lambda: "another machine")
    good, said = found(replace(setup, identity=store), machine)
    assert (good, "this machine is a copy of 1111" in said) == (False, True)


def test_a_certificate_that_has_run_out_waits_for_the_host(tmp_path: Path, machine: Machine) -> None:
    """No renewal helps it."""
    setup = setup_in(tmp_path)
    keep(setup, -9 * DAY, -2 * DAY, -DAY)
    machine.plug()
    good, said = found(setup, machine)
    assert good is None
    assert said.startswith("this guest's certificate has run out, and it waits for its host: the host is at")


def test_an_identity_that_cannot_be_used_is_said(tmp_path: Path, machine: Machine) -> None:
    """What to do about it is said by another line; guest-stub run would enrol anew."""
    setup = setup_in(tmp_path)
    keep(setup, -DAY, DAY, 2 * DAY)
    (setup.identity.directory / "identity.json").chmod(0o644)
    machine.plug(attended=False)
    good, said = found(setup, machine)
    assert good is False
    assert said.startswith("what is kept of its identity cannot be used: ")


@pytest.mark.parametrize("plugged", [True, False])
def test_on_a_unix_socket_it_is_not_needed(tmp_path: Path, machine: Machine, plugged: bool) -> None:
    """The SVM is on this machine."""
    if plugged:
        machine.plug()
    good, said = found(setup_in(tmp_path, "unix:/x"), machine)
    assert (good, said.endswith(", which is not needed on a unix socket")) == (None, True)


class Standing(Ports):
    """Of which the test says how it stands."""

    def state(self) -> PortState:
        """Another program has it."""
        return PortState.BUSY


def test_a_port_that_another_program_speaks_on_is_in_use(tmp_path: Path) -> None:
    """guest-stub run enrols just then."""
    finding = host_finding(setup_in(tmp_path), Standing())
    assert (finding.good, "another program speaks on its port" in finding.said) == (None, True)
