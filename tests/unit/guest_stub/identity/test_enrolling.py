"""Tests of how a guest gets its certificates, against real TLS."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st
from lightagent.v1 import enrolment_pb2

from guest_stub.identity.enrolling import JITTER, Machine, enrol_by_host, enrol_guest, renew_at, renew_guest
from guest_stub.identity.host_offer import Offer
from guest_stub.identity.keys import Issued, public_sha256
from guest_stub.identity.store import IdentityStore
from guest_stub.svm_link.ksn import ask_ksn
from guest_stub.svm_link.link import SvmUnreachable
from guest_stub.svm_link.target import IdentityProblem, Svm
from tests.support.authority import DAY, Authority
from tests.support.enrolment_side_server import TOKEN, Register, TlsSideServer, enrolled, tls_serving

MACHINE = Machine(b"m" * 32, "guest-1")


def request_of(side: TlsSideServer, number: int) -> bytes:
    """The public key of a request that was made, in it."""
    key = x509.load_der_x509_csr(side.register.asked[number].csr).public_key()
    return key.public_numbers().x.to_bytes(32, "big")  # type: ignore[union-attr]


async def test_a_guest_enrols(tmp_path: Path) -> None:
    """Who it is by then is on the disk, whole, and nothing waits any more."""
    store = IdentityStore(tmp_path)
    async with tls_serving(register=Register(tenant="red")) as side:
        identity, _ = await enrol_guest(store, side.place, TOKEN, MACHINE)
    assert store.read() == identity
    assert (identity.tenant, identity.svm, identity.fingerprint) == (
        "red",
        side.target,
        side.authority.fingerprint,
    )
    assert [path.name for path in store.directory.iterdir()] == ["identity.json"]
    assert identity.begins < time.time() < identity.renew_at < identity.ends


async def test_the_authority_may_be_below_another(tmp_path: Path) -> None:
    """Which guests need not know: they pin the SVM's own, and go by it."""
    store = IdentityStore(tmp_path)
    async with tls_serving(authority=Authority("own", above=Authority("corporate"))) as side:
        identity, _ = await enrol_guest(store, side.place, TOKEN, MACHINE)
        assert identity.fingerprint == side.authority.fingerprint
        assert (await renew_guest(store, side.target, MACHINE, True))[1]
        assert (await ask_ksn(Svm(side.target, store.proof), 30.0)).state == "off"


async def test_an_answer_that_was_lost_is_asked_for_again(tmp_path: Path) -> None:
    """With the same token and the same key, which no other token gets."""
    store = IdentityStore(tmp_path)
    async with tls_serving(register=Register(lose=1)) as side:
        with pytest.raises(SvmUnreachable, match="the answer is lost"):
            await enrol_guest(store, side.place, TOKEN, MACHINE)
        assert store.read() is None
        with pytest.raises(SvmUnreachable, match="does not take the token"):
            await enrol_guest(IdentityStore(tmp_path / "other"), side.place, TOKEN, MACHINE)
        identity, _ = await enrol_guest(store, side.place, TOKEN, MACHINE)
        assert store.read() == identity
        assert request_of(side, 0) == request_of(side, 2) != request_of(side, 1)


async def test_the_same_token_again_is_not_sent_again(tmp_path: Path) -> None:
    """Whoever has not seen the end of it may run it again; another SVM is asked all the same."""
    store = IdentityStore(tmp_path)
    async with tls_serving() as side, tls_serving() as other:
        identity, _ = await enrol_guest(store, side.place, TOKEN, MACHINE)
        assert await enrol_guest(store, side.place, TOKEN, MACHINE) == (identity, False)
        assert len(side.register.asked) == 1
        another, is_new = await enrol_guest(store, other.place, TOKEN, MACHINE)
        assert (another.guest != identity.guest, is_new) == (True, True)


async def test_a_damaged_identity_is_replaced(tmp_path: Path) -> None:
    """By enrolling anew; renewing says what is amiss."""
    store = IdentityStore(tmp_path)
    async with tls_serving() as side:
        enrolled(side, store)
        (store.directory / "identity.json").write_text("{")
        with pytest.raises(IdentityProblem, match="it is damaged"):
            await renew_guest(store, side.target, MACHINE, True)
        assert await enrol_guest(store, side.place, TOKEN, MACHINE) == (store.read(), True)


async def test_enrolling_anew_makes_another_key(tmp_path: Path) -> None:
    """By another token; who the guest was it is until it is another."""
    store = IdentityStore(tmp_path)
    async with tls_serving(register=Register(tokens={TOKEN, "second"})) as side:
        first, _ = await enrol_guest(store, side.place, TOKEN, MACHINE)
        with pytest.raises(SvmUnreachable, match="does not take the token"):
            await enrol_guest(store, side.place, "wrong", MACHINE)
        assert store.read() == first
        second, _ = await enrol_guest(store, side.place, "second", MACHINE)
    assert second.key != first.key
    assert store.read() == second


async def test_without_a_machine_id_nobody_enrols(tmp_path: Path) -> None:
    """It is said how to get one, and the token is not spent."""
    async with tls_serving() as side:
        with pytest.raises(IdentityProblem, match="run systemd-machine-id-setup"):
            await enrol_guest(IdentityStore(tmp_path), side.place, TOKEN, Machine(b"", ""))
        assert side.register.asked == []


async def test_what_the_svm_gets_wrong_is_not_kept(tmp_path: Path) -> None:
    """A certificate of another authority: the guest stays who it was."""
    other = Authority().guest("11111111-2222-3333-4444-555555555555")

    def alter(answer: enrolment_pb2.Enrolled) -> enrolment_pb2.Enrolled:
        answer.certificate = other.der
        return answer

    store = IdentityStore(tmp_path)
    async with tls_serving(register=Register(alter=alter)) as side:
        with pytest.raises(IdentityProblem, match="nothing was kept"):
            await enrol_guest(store, side.place, TOKEN, MACHINE)
        assert store.read() is None
        before = enrolled(side, store)
        with pytest.raises(IdentityProblem, match="nothing was kept"):
            await renew_guest(store, side.target, MACHINE, True)
    assert store.read() == before


async def test_a_guest_renews_when_it_is_time(tmp_path: Path) -> None:
    """Over the certificate that it has, with another key; it stays the same guest."""
    store = IdentityStore(tmp_path)
    async with tls_serving() as side:
        old = enrolled(side, store)
        assert await renew_guest(store, side.target, MACHINE, False) == (old, False)
        assert side.register.asked == []
        new, is_new = await renew_guest(store, side.target, MACHINE, True)
        assert is_new
        assert (new.guest, new.key == old.key, new.certificate == old.certificate) == (
            old.guest,
            False,
            False,
        )
        file = store.directory / "identity.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"renew_at": time.time() - 1}))
        assert (await renew_guest(store, side.target, MACHINE, False))[1]
    assert store.read() != new


async def test_a_renewal_that_was_lost_uses_the_same_key(tmp_path: Path) -> None:
    """Nothing else is known of it here."""
    store = IdentityStore(tmp_path)
    async with tls_serving(register=Register(lose=1)) as side:
        enrolled(side, store)
        with pytest.raises(SvmUnreachable, match="the answer is lost"):
            await renew_guest(store, side.target, MACHINE, True)
        await renew_guest(store, side.target, MACHINE, True)
        assert request_of(side, 0) == request_of(side, 1)


async def test_who_is_not_enrolled_or_revoked_renews_nothing(tmp_path: Path) -> None:
    """Each is told to enrol."""
    store = IdentityStore(tmp_path)
    async with tls_serving() as side:
        with pytest.raises(IdentityProblem, match="run: guest-stub enrol"):
            await renew_guest(store, side.target, MACHINE, True)
        side.register.revoked[enrolled(side, store).guest] = "revoked: stolen"
        with pytest.raises(SvmUnreachable, match="revoked: stolen: enrol this guest anew"):
            await renew_guest(store, side.target, MACHINE, True)


@given(st.floats(0, 1, exclude_max=True), st.floats(0, 1e9), st.floats(1, 800 * DAY))
def test_guests_that_enrolled_together_do_not_renew_together(
    chance: float, after: float, left: float
) -> None:
    """A tenth of the time is left to chance; it is before the end, whatever the SVM says."""
    when = renew_at(Issued("", "", "", -3600.0, left), after, 0.0, lambda: chance)
    wait = after if 0 < after < left else left * 2 / 3
    assert wait * (1 - JITTER) <= when <= wait < left


def offering(side: TlsSideServer, asked: list[bytes]) -> Callable[[bytes], Offer]:
    """A host that hands out a token of this SVM."""

    def offer(key: bytes) -> Offer:
        asked.append(key)
        place = side.place
        return Offer(TOKEN, (place.host, place.port), (place.host, place.enrolment_port), place.fingerprint)

    return offer


async def test_a_machine_enrols_by_what_its_host_hands_out(tmp_path: Path) -> None:
    """For the key that it has asked with; nothing was typed, and the token is on no disk."""
    store, asked = IdentityStore(tmp_path), list[bytes]()
    async with tls_serving() as side:
        identity = await enrol_by_host(store, offering(side, asked), MACHINE, "uuid")
        assert store.read() == identity
        assert asked == [public_sha256(identity.key)]
        assert identity.svm == side.target
    assert TOKEN not in "".join(path.read_text() for path in store.directory.iterdir())


async def test_the_host_is_asked_again_with_the_same_key(tmp_path: Path) -> None:
    """Until there is a certificate; a copy of the machine begins with a key of its own."""
    store, asked = IdentityStore(tmp_path), list[bytes]()
    async with tls_serving(register=Register(lose=1)) as side:
        with pytest.raises(SvmUnreachable, match="the answer is lost"):
            await enrol_by_host(store, offering(side, asked), MACHINE, "uuid")
        shutil.copytree(tmp_path / "identity", tmp_path / "copy" / "identity")
        await enrol_by_host(store, offering(side, asked), MACHINE, "uuid")
        with pytest.raises(SvmUnreachable, match="does not take the token"):
            await enrol_by_host(IdentityStore(tmp_path / "copy"), offering(side, asked), MACHINE, "other")
    assert asked[0] == asked[1] != asked[2]


async def test_without_a_machine_id_the_host_is_not_asked(tmp_path: Path) -> None:
    """Its token would be lost."""
    asked = list[bytes]()
    async with tls_serving() as side:
        with pytest.raises(IdentityProblem, match="no /etc/machine-id"):
            await enrol_by_host(IdentityStore(tmp_path), offering(side, asked), Machine(b"", "g"), "uuid")
    assert asked == []
