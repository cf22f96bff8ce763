"""A guest that has enrolled with an SVM that does not run yet: both sides' files, as they are after that."""

import time
from contextlib import closing
from pathlib import Path

from appliance.config_identity import IdentitySettings
from appliance.domain.caller import Caller, Role
from appliance.identity.authority import pem_of
from appliance.identity.files import Wanted, load, make
from appliance.identity.issuing import Asked, Issuer
from appliance.identity.keys import csr_for, key_pem, new_key
from appliance.state.environment import StateEnvironment
from appliance.state.identities import IdentityStore
from guest_stub.identity.kept import Identity
from guest_stub.identity.machine import machine
from guest_stub.identity.store import IdentityStore as StubStore
from guest_stub.svm_link.target import Svm

_DAY = 86400.0
_PROVIDER = Caller("test", Role.PROVIDER)


def enrolled(svm_state: Path, stub_state: Path, address: str, tenant: str = "default") -> Svm:
    """Enrol this machine, and return how a program of it reaches the SVM.

    svm_state, stub_state: the state directories of both. address: "tcp:host:port".
    """
    make(svm_state, Wanted("one", ["127.0.0.1"]), time.time())
    svm, key = load(svm_state), new_key()
    assert svm is not None
    with closing(StateEnvironment.open(svm_state)) as environment:
        issuer = Issuer(IdentityStore(environment), svm.authority, IdentitySettings(), time.time)
        token = issuer.token(tenant, "", 3600, _PROVIDER)
        made = issuer.enrol(token.text, Asked(csr_for(key), machine(), "test"))
    now = time.time()
    identity = Identity(
        svm=address,
        guest=made.guest.uuid,
        tenant=tenant,
        authority=svm.authority.pem.decode(),
        certificate=pem_of(made.certificate).decode(),
        key=key_pem(key).decode(),
        begins=now - 3600,
        ends=made.ends_at,
        renew_at=now + 20 * _DAY,
        asked_with="0" * 64,
    )
    with StubStore(stub_state).open() as store:
        store.keep(identity)
    return Svm(address, lambda: identity.proof)
