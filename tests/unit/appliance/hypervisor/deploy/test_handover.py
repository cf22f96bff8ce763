"""Certificates out of an SVM, by its port: with the real program at the other end, and with a hostile one."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from appliance.domain.caller import Caller, Role
from appliance.hypervisor.deploy.handover import HandoverError, Holder, hand_over
from tests.support.host_port import host_port
from tests.support.identity_side_server import IdentitySide, identity_side

FULL = 46  # questions about two certificates, after which libvirt 9.0 read nothing more of a connection


@pytest.fixture
def side(tmp_path: Path) -> Iterator[IdentitySide]:
    """An SVM with a register."""
    with identity_side(tmp_path) as running:
        yield running


@dataclass
class Said:
    """A port at whose other end somebody says what a function makes of what was asked."""

    says: Callable[[bytes], bytes]
    waiting: list[bytes] = field(default_factory=list)

    def write(self, content: bytes) -> None:
        """Hear it, and answer."""
        self.waiting.append(self.says(content))

    def read(self, _seconds: float) -> bytes:
        """What was answered."""
        return self.waiting.pop(0) if self.waiting else b""


def test_keys_stay_here_and_certificates_come(side: IdentitySide, tmp_path: Path) -> None:
    """Each in a directory as --identity wants it, readable to nobody else, and known to the SVM."""
    agent, administrator = tmp_path / "etc" / "agent", tmp_path / "etc" / "administrator"
    holders = [
        Holder(Role.HOST_AGENT, "host-1", agent),
        Holder(Role.PROVIDER, "administrator", administrator),
    ]
    with host_port(side.path) as port:
        hand_over(lambda: nullcontext(port), holders, 300.0)
    for directory, caller in (
        (agent, Caller("host-1", Role.HOST_AGENT)),
        (administrator, Caller("administrator", Role.PROVIDER)),
    ):
        names = ["administrator.key", "administrator.pem", "ca.pem"]
        assert sorted(path.name for path in directory.iterdir()) == names
        assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
        pem = (directory / "administrator.pem").read_bytes()
        key = serialization.load_pem_private_key((directory / "administrator.key").read_bytes(), None)
        assert x509.load_pem_x509_certificate(pem).public_key() == key.public_key()
        assert (directory / "ca.pem").read_bytes() == side.office.authority.pem
        assert side.office.registry.caller(pem) == caller
    assert agent.stat().st_mode & 0o777 == 0o700


def test_again_they_are_replaced(side: IdentitySide, tmp_path: Path) -> None:
    """A key that was lost is not missed."""
    holder = Holder(Role.HOST_AGENT, "host-1", tmp_path / "agent")
    with host_port(side.path) as port:
        hand_over(lambda: nullcontext(port), [holder], 300.0)
        first = (holder.directory / "administrator.pem").read_bytes()
        hand_over(lambda: nullcontext(port), [holder], 300.0)
    assert (holder.directory / "administrator.pem").read_bytes() != first


def answering(**words: object) -> Callable[[bytes], bytes]:
    """One who answers what was asked with these words."""

    def says(content: bytes) -> bytes:
        asked = json.loads(content)
        return json.dumps({"version": 1, "id": asked["id"]} | words).encode() + b"\n"

    return says


@pytest.mark.parametrize(
    ("says", "sentence"),
    [
        (lambda _: b"", "did not answer at its port"),
        (lambda content: content, "did not answer at its port"),  # an echo
        (lambda _: b"[" * 10_000 + b"\n{}\n", "did not answer at its port"),
        (lambda _: b"x" * 70_000, "says too much at its port"),
        (lambda _: b"login:\n" * 50_000, "says too much at its port"),
        (answering(error="no authority\x1b[2J"), r"issues no certificates: no authority\?\[2J"),
        (answering(authority=5, certificates=[]), "is no answer: its image is of another version"),
        (answering(authority="x", certificates=["y", "z"]), "is no answer"),
        (answering(authority="x", certificates=["y"]), "cannot be used: there is no certificate as PEM"),
    ],
)
def test_what_an_svm_says_is_bounded_and_looked_at(
    says: Callable[[bytes], bytes], sentence: str, tmp_path: Path
) -> None:
    """Nothing is put anywhere."""
    holder = Holder(Role.HOST_AGENT, "host-1", tmp_path / "agent")
    ticks = iter(range(10_000))
    with pytest.raises(HandoverError, match=sentence):
        hand_over(lambda: nullcontext(Said(says)), [holder], 60.0, lambda: float(next(ticks)))
    assert not holder.directory.exists()


@pytest.mark.parametrize("seconds", [300.0, 3600.0])
def test_an_svm_that_never_reads_is_not_asked_until_its_port_is_full(seconds: float, tmp_path: Path) -> None:
    """What nobody reads is kept by libvirt, and stops it at FULL."""
    asked: list[bytes] = []

    def nothing(content: bytes) -> bytes:
        asked.append(content)
        return b""

    ticks = iter(range(10_000))
    holders = [Holder(Role.HOST_AGENT, name, tmp_path / name) for name in ("agent", "other")]
    with pytest.raises(HandoverError, match="did not answer at its port"):
        hand_over(lambda: nullcontext(Said(nothing)), holders, seconds, lambda: float(next(ticks)))
    assert 20 < len(asked) < FULL


def test_an_svm_that_loses_its_questions_is_asked_again(side: IdentitySide, tmp_path: Path) -> None:
    """One that starts anew while it boots has lost all that it was asked before."""
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 0.5
        return now

    with host_port(side.path) as port:

        class Forgetful:
            def write(self, content: bytes) -> None:
                """Lose it, for a while."""
                if now > 160:
                    port.write(content)

            def read(self, seconds: float) -> bytes:
                """What was answered."""
                return port.read(seconds if now > 160 else 0.001)

        holder = Holder(Role.HOST_AGENT, "host-1", tmp_path / "agent")
        hand_over(lambda: nullcontext(Forgetful()), [holder], 300.0, clock)
    assert (holder.directory / "administrator.pem").is_file()


def test_a_certificate_for_another_key_is_not_taken(side: IdentitySide, tmp_path: Path) -> None:
    """Such as one that was issued before."""
    holder = Holder(Role.HOST_AGENT, "host-1", tmp_path / "agent")
    with host_port(side.path) as port:
        hand_over(lambda: nullcontext(port), [holder], 300.0)
    old = (holder.directory / "administrator.pem").read_text()
    port_ = Said(answering(authority=side.office.authority.pem.decode(), certificates=[old]))
    with pytest.raises(HandoverError, match="the certificate is for another key"):
        hand_over(lambda: nullcontext(port_), [holder], 300.0)


def test_a_port_that_is_closed_is_told(tmp_path: Path) -> None:
    """The machine was stopped."""

    class Closed:
        def write(self, content: bytes) -> None:
            """Take it."""

        def read(self, _seconds: float) -> bytes:
            """There is no more."""
            raise EOFError

    @contextmanager
    def opened() -> Iterator[Closed]:
        yield Closed()

    way: Callable[[], AbstractContextManager[Closed]] = opened
    with pytest.raises(HandoverError, match="port was closed"):
        hand_over(way, [Holder(Role.HOST_AGENT, "host-1", tmp_path / "agent")], 60.0)
