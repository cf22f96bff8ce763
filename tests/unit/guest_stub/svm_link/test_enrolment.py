"""Tests of the questions for a certificate."""

import socket

import pytest

from guest_stub.identity.keys import make_key, request
from guest_stub.svm_link import enrolment
from guest_stub.svm_link.enrolment import Asked, enrol, renew
from guest_stub.svm_link.link import SvmUnreachable
from guest_stub.svm_link.target import Svm
from tests.support.authority import DAY, Authority, proof_of
from tests.support.enrolment_side_server import TOKEN, Register, tls_serving


def asked(host_name: str = "guest-1") -> Asked:
    """A question."""
    return Asked(request(make_key()), b"m" * 32, host_name)


async def test_a_token_gives_a_certificate() -> None:
    """The SVM hears the token, the machine and the host's name, which is cut."""
    async with tls_serving() as side:
        answer = await enrol(
            f"127.0.0.1:{side.enrolment_port}", side.authority.issued.pem, TOKEN, asked("ä" * 200)
        )
        (said,) = side.register.asked
    assert (said.token, said.machine, said.host_name) == (TOKEN, b"m" * 32, "ä" * 128)  # type: ignore[union-attr]
    assert answer.chain == (side.authority.issued.der,)
    assert (answer.tenant, answer.renew_after) == ("default", 20 * DAY)


async def test_a_certificate_gives_the_next() -> None:
    """Over the one before."""
    async with tls_serving() as side:
        proof = proof_of(side.authority)
        answer = await renew(Svm(side.target, lambda: proof), asked())
    assert f"/{answer.guest}".encode() in answer.certificate


@pytest.mark.parametrize(
    ("token", "port", "sentence"),
    [
        (
            "wrong",
            "enrolment_port",
            "does not take the token: it is wrong, was used, or is over: have another made",
        ),
        (  # where guests ask, nobody without a certificate is let in
            TOKEN,
            "port",
            r"^tcp:\S+: the connection was closed: is it the port where guests enrol \(--enrolment-port\)\?",
        ),
    ],
)
async def test_a_refusal_says_what_to_do(token: str, port: str, sentence: str) -> None:
    """A token that does not count, the wrong port."""
    async with tls_serving() as side:
        with pytest.raises(SvmUnreachable, match=sentence):
            await enrol(f"127.0.0.1:{getattr(side, port)}", side.authority.issued.pem, token, asked())


async def test_the_token_is_not_said_to_an_svm_of_another_authority() -> None:
    """The handshake ends before."""
    async with tls_serving() as side:
        with pytest.raises(SvmUnreachable, match="another authority than this guest has pinned"):
            await enrol(f"127.0.0.1:{side.enrolment_port}", Authority().issued.pem, TOKEN, asked())
        assert side.register.asked == []


async def test_an_svm_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """One deadline holds for all of it."""
    monkeypatch.setattr(enrolment, "ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(SvmUnreachable, match=r"within 0\.2 s|DEADLINE"):
            await enrol(place, Authority().issued.pem, TOKEN, asked())


async def test_times_that_make_no_sense_are_bounded() -> None:
    """An SVM may say that it renews in a million years, or before now."""
    for said, taken in ((1e9, enrolment._LONGEST_SECONDS), (-5.0, 0.0)):
        async with tls_serving(register=Register(renew_after=said)) as side:
            place = f"127.0.0.1:{side.enrolment_port}"
            assert (await enrol(place, side.authority.issued.pem, TOKEN, asked())).renew_after == taken
