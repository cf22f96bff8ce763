"""svm-host enrol; with real machines: real_vms/test_attested_enrolment."""

import io
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from appliance.cli.console import Console
from appliance.hypervisor.attest.tokens import Machine
from appliance.hypervisor.cli import enrol as module
from appliance.hypervisor.cli.program import run
from appliance.hypervisor.virt.channels import Plugged

UUID_OF_TEST = "6695eb01-f6a4-8304-79aa-97f2502e193f"


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


def ran(*words: str) -> Ran:
    """Run `svm-host`."""
    out, err = io.StringIO(), io.StringIO()
    code = run(words, Console({}, out, err, lambda: 0.0, program="svm-host"))
    return Ran(code, out.getvalue(), err.getvalue())


class Svm:
    """The way to an SVM that makes a token. requests: for what."""

    requests: list[Any] = []  # noqa: RUF012  # of the test, which sets it

    def __init__(self, _settings: object) -> None:
        pass

    async def ask(self, call: Callable[[Any], Any]) -> Any:
        """Ask it."""
        return call(self)

    def create_token(self, request: Any) -> Any:
        """A token."""
        self.requests.append(request)
        return SimpleNamespace(token="t", guests="h:1", enrolment="h:2", authority_sha256=b"f" * 32)

    def close(self) -> None:
        """It is over."""


@pytest.fixture
def channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """QEMU's end of the channel of libvirt's test machine, at which a test listens."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(1)
        listening.settimeout(30)
        monkeypatch.setattr(module, "plug", lambda _host, _uuid: Plugged(path, added=True))
        monkeypatch.setattr(module, "SvmLine", Svm)
        monkeypatch.setattr(Svm, "requests", [])
        yield listening


def test_a_machine_that_asks_is_handed_a_token(channel: socket.socket) -> None:
    """By somebody's order: also where it was revoked."""
    heard: list[dict[str, Any]] = []

    def machine() -> None:
        end, _ = channel.accept()
        with end:
            end.sendall(
                json.dumps({"version": 1, "nonce": "0" * 32, "key_sha256": "1" * 64}).encode() + b"\n"
            )
            heard.append(json.loads(end.recv(4096)))

    speaks = threading.Thread(target=machine)
    speaks.start()
    said = ran("enrol", "test", "--connect", "test:///default", "--tenant", "acme")
    speaks.join(30)
    assert said.code == 0, said.err
    assert said.out.splitlines() == [
        "test got its channel; waiting for it to ask",
        f"test was handed a token for guest {UUID_OF_TEST}",
    ]
    assert heard[0]["token"] == "t"
    (request,) = Svm.requests
    assert (request.uuid, request.tenant, request.not_revoked) == (UUID_OF_TEST, "acme", False)


@pytest.mark.usefixtures("channel")
def test_whose_guest_it_will_be_say_the_settings_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As where it enrols by itself; a file that cannot be read may say it, so nothing is guessed then."""
    machines: list[Machine] = []

    async def attend(_settings: object, _whose: object, machine: Machine, _seconds: float) -> int:
        machines.append(machine)
        return 1

    monkeypatch.setattr(module, "_attend", attend)
    (tmp_path / "owners").write_text(f"{UUID_OF_TEST} acme\n")
    (tmp_path / "c.toml").write_text(f'[machines]\nfile = "{tmp_path}/owners"\ntenants = ["other=t*"]\n')
    words = ("enrol", "test", "--connect", "test:///default", "--config", str(tmp_path / "c.toml"))
    assert ran(*words).code == 0
    (tmp_path / "owners").unlink()
    said = ran(*words)
    assert (said.code, "whose machine test is cannot be said" in said.err) == (2, True)
    assert ran(*words, "--tenant", "given").code == 0
    assert [machine.tenant for machine in machines] == ["acme", "given"]


@pytest.mark.usefixtures("channel")
def test_one_that_does_not_ask_is_a_no() -> None:
    """With what to look for."""
    said = ran("enrol", UUID_OF_TEST, "--connect", "test:///default", "--wait", "1")
    assert said.code == 1
    assert "test got nothing within 1 s: in the machine, is guest-stub there and running?" in said.out


def test_one_that_is_off_gets_its_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    """And that is all that can be done now."""
    monkeypatch.setattr(module, "plug", lambda _host, _uuid: Plugged(None, added=False))
    said = ran("enrol", "test", "--connect", "test:///default")
    assert (said.code, said.out) == (0, "test has its channel, and does not run: it can enrol when it does\n")


def test_a_channel_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there was one."""
    answers = iter([True, False])
    monkeypatch.setattr(module, "unplug", lambda _host, _uuid: next(answers))
    words = ("enrol", "test", "--remove", "--connect", "test:///default")
    assert (ran(*words).code, ran(*words).code) == (0, 1)


def test_what_is_wrong_is_a_sentence(channel: socket.socket, tmp_path: Path) -> None:
    """A name that is none, a time that is none, a channel that another holds or that is gone."""
    said = ran("enrol", "nobody", "--connect", "test:///default")
    assert (said.code, said.err) == (2, "svm-host: no host has a machine 'nobody': see `svm-host vms`\n")
    assert ran("enrol", "test", "--connect", "test:///default", "--wait", "soon").code == 2
    channel.close()
    (tmp_path / "s").unlink()
    said = ran("enrol", "test", "--connect", "test:///default")
    assert said.code == 2
    assert "is its machine still running?" in said.err
