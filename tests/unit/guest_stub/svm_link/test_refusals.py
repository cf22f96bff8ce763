"""Tests of why an SVM over TCP lets nobody in: real handshakes that fail, each for a reason of its own."""

import pytest

from guest_stub.svm_link.ksn import ask_ksn
from guest_stub.svm_link.link import SvmUnreachable
from guest_stub.svm_link.target import Proof, Svm
from tests.support.authority import Authority, Issued, Wanted, guest_uri, proof_of
from tests.support.enrolment_side_server import tls_serving

SVM_NAME = "svm.kvm-light-agent"
GUEST = "11111111-2222-3333-4444-555555555555"


async def refusal(authority: Authority, proof: Proof, own: Issued | None = None) -> str:
    """What is said where an SVM of the authority is asked with this proof. own: what the SVM shows."""
    async with tls_serving(authority=authority, own=own) as side:
        with pytest.raises(SvmUnreachable) as refused:
            await ask_ksn(Svm(side.target, lambda: proof), 30.0)
    return str(refused.value)


@pytest.mark.parametrize("name", ["kvm-light-agent", "another"])
async def test_an_svm_of_another_authority(name: str) -> None:
    """Is not asked, also where its authority has the same name."""
    said = await refusal(Authority(name), proof_of(Authority()))
    assert "a certificate of another authority than this guest has pinned" in said


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (Wanted("", (SVM_NAME,), True, -7200, -60), "has run out, by this guest's clock: set the clocks"),
        (
            Wanted("", (SVM_NAME,), True, 3600, 7200),
            "does not count yet, by this guest's clock: set the clocks",
        ),
        (Wanted("", (SVM_NAME,), False), "is not an SVM's: something else is at this address"),
        (Wanted("", ("svm.example",), True), "is not an SVM's: something else is at this address"),
        (Wanted(guest_uri(GUEST)), "is not an SVM's: something else is at this address"),
        (Wanted(guest_uri(GUEST), (), True), "is not an SVM's: something else is at this address"),
    ],
)
async def test_what_is_no_svm_although_of_the_same_authority(wanted: Wanted, sentence: str) -> None:
    """A guest cannot stand for an SVM, nor can one whose time is not now."""
    authority = Authority()
    assert sentence in await refusal(authority, proof_of(authority), authority.issue(wanted))


async def test_a_certificate_of_ones_own_that_has_run_out() -> None:
    """Is told from an SVM that has gone."""
    authority = Authority()
    said = await refusal(authority, proof_of(authority, -7200, -60))
    assert "this guest's certificate has run out on" in said
    assert "enrol this guest anew" in said


async def test_a_clock_of_ones_own_that_is_behind() -> None:
    """A certificate that does not count yet is the clock's fault."""
    authority = Authority()
    said = await refusal(authority, proof_of(authority, 3600, 7200))
    assert "this guest's certificate counts from" in said
    assert "set this guest's clock" in said


async def test_a_certificate_of_ones_own_that_the_svm_does_not_know() -> None:
    """Of another authority, say: the SVM hangs up, and what that may mean is said."""
    authority = Authority()
    stranger, own = proof_of(Authority()), authority.issued.pem
    proof = Proof(own, stranger.certificate, stranger.key, stranger.begins, stranger.ends)
    assert "the SVM has hung up: it stops, or it does not accept" in await refusal(authority, proof)
