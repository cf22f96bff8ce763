"""svm host-port: what the host asks is answered, what is no question is passed over."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.cli.host_port import MAX_LINE_BYTES, answer
from appliance.identity.keys import csr_for, new_key
from appliance.rpc.admin_client import AdminClient, AdminError
from tests.support.commands import svm
from tests.support.host_port import PtyPort, host_port
from tests.support.identity_side_server import IdentitySide, identity_side


@pytest.fixture
def side(tmp_path: Path) -> Iterator[IdentitySide]:
    """An SVM with a register."""
    with identity_side(tmp_path) as running:
        yield running


def question(number: str = "1", role: str = "host-agent", **words: object) -> bytes:
    """A line that asks for a certificate."""
    csr = base64.b64encode(csr_for(new_key())).decode()
    wanted = {"role": role, "name": "host-1", "csr": csr} | words
    return json.dumps({"version": 1, "id": number, "issue": [wanted]}).encode() + b"\n"


def line_of(port: PtyPort) -> dict[str, object]:
    """The next line that comes, in a minute at most."""
    while b"\n" not in port.held:
        came = port.read(60.0)
        assert came, f"nothing came after {port.held[:200]!r}"
        port.held += came
    line, _, port.held = port.held.partition(b"\n")
    found: dict[str, object] = json.loads(line)
    return found


def test_garbage_before_a_question_costs_nothing(side: IdentitySide) -> None:
    """Not a line that never ends either."""
    with host_port(side.path) as port:
        port.write(b"\n\n{}\nlogin\n" + b"x" * (2 * MAX_LINE_BYTES) + b"\n[]\n" + question("7"))
        reply = line_of(port)
    assert reply["id"] == "7"
    assert reply["authority"] == side.office.authority.pem.decode()


def test_a_question_that_is_asked_again_has_the_same_answer(side: IdentitySide) -> None:
    """The host asks until it is answered: for that nothing is issued twice."""
    line = question()
    with host_port(side.path) as port:
        port.write(line + b"\n" + line)
        assert line_of(port) == line_of(port)
    assert len(list(side.office.registry.certificates())) == 1


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (question(role="guest"), "for the roles provider and host-agent are issued here"),
        (question(role="tenant-admin"), "for the roles provider and host-agent"),
        (question(name=5), "has a name and a csr, as text"),
        (question(name="uid-0"), "is no name that can be given"),
        (question(csr="AAAA"), "csr is no PKCS#10 request"),
        (b'{"id": "1", "issue": []}', "0 certificates are asked for"),
        (
            json.dumps({"id": "1", "issue": [json.loads(question())["issue"][0]] * 5}).encode(),
            "5 certificates",
        ),
    ],
)
def test_what_is_asked_wrongly_is_told(side: IdentitySide, line: bytes, sentence: str) -> None:
    """With the number of the question, and no certificate."""
    reply = json.loads(answer(line, lambda: AdminClient(str(side.path))) or b"{}")
    assert reply["id"] == "1"
    assert sentence in reply["error"]
    assert "certificates" not in reply


@pytest.mark.parametrize(
    "line", [b"", b"x", b"[1]", b'{"id": "1"}', b'{"issue": []}', b'{"id": 1, "issue": []}']
)
def test_what_is_no_question_is_not_answered(line: bytes) -> None:
    """The host may be anybody's terminal."""
    assert answer(line, lambda: pytest.fail("the SVM is not asked")) is None


def test_an_svm_that_starts_is_waited_for(side: IdentitySide, tmp_path: Path) -> None:
    """One that never comes is told in the end."""
    paths = iter([str(tmp_path / "none"), str(tmp_path / "none"), str(side.path)])
    pauses: list[float] = []
    reply = answer(question(), lambda: AdminClient(next(paths)), pauses.append)
    assert b'"certificates"' in (reply or b"")
    assert len(pauses) == 2
    ticks = iter(range(0, 10_000, 50))
    reply = answer(
        question(), lambda: AdminClient(str(tmp_path / "none")), pauses.append, lambda: float(next(ticks))
    )
    assert "no SVM answers" in json.loads(reply or b"{}")["error"]


def test_an_svm_without_an_authority_says_so() -> None:
    """It is not waited for."""

    def connect() -> AdminClient:
        raise AdminError("this SVM has no authority yet: run `svm init`")

    reply = answer(question(), connect, lambda _: pytest.fail("it waits"))
    assert "no authority yet" in json.loads(reply or b"{}")["error"]


def test_a_port_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    """Somebody ran it outside of an SVM."""
    ran = svm("host-port", tmp_path / "none")
    assert (ran.code, "was this SVM made by `svm-host deploy`?" in ran.err) == (2, True)
