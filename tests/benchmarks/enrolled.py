"""Guests that enrolled at an SVM before it was started: in its register, and their keys in a file."""

import json
import time
from pathlib import Path

from appliance.config_identity import IdentitySettings
from appliance.domain.caller import Caller, Role
from appliance.identity.authority import pem_of
from appliance.identity.files import Wanted, load, make
from appliance.identity.issuing import Asked, Issuer
from appliance.identity.keys import csr_for, key_pem, new_key
from appliance.state.environment import StateEnvironment
from appliance.state.identities import IdentityStore
from guest_stub.svm_link.target import Proof

_TERMS = IdentitySettings()
_DAYS = (_TERMS.server_days, _TERMS.administrator_days)


def enrol(state: Path, count: int, into: Path) -> None:
    """Do what `svm init` does where that was not done, and enrol so many guests.

    state: of an SVM that does not run. into: is written; see `proofs`.
    """
    make(state, Wanted("bench", ["127.0.0.1"], days=_DAYS), time.time())
    svm = load(state)
    assert svm is not None
    provider = Caller("bench", Role.PROVIDER)
    environment = StateEnvironment.open(state)
    try:
        issuer = Issuer(IdentityStore(environment), svm.authority, _TERMS, time.time)
        guests = []
        for _ in range(count):
            key, token = new_key(), issuer.token("default", "", 60, provider).text
            enrolled = issuer.enrol(token, Asked(csr_for(key)))
            certificate = pem_of(enrolled.certificate)
            guests.append({"certificate": certificate.decode(), "key": key_pem(key).decode()})
    finally:
        environment.close()
    into.write_text(json.dumps({"authority": svm.authority.pem.decode(), "guests": guests}))


def proofs(path: str) -> list[Proof]:
    """What the guests prove themselves by, one each."""
    told = json.loads(Path(path).read_text())
    authority = told["authority"].encode()
    return [
        Proof(authority, guest["certificate"].encode(), guest["key"].encode(), 0.0, 0.0)
        for guest in told["guests"]
    ]
