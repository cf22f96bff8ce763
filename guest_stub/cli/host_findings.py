"""What `guest-stub doctor` says of the port by which this machine's host has it enrol."""

import time

from guest_stub.cli.identity_findings import Finding
from guest_stub.cli.setup import Setup
from guest_stub.identity.kept import by_host
from guest_stub.identity.port import PORT_NAME, Ports, PortState
from guest_stub.identity.store import IdentityRefused
from guest_stub.svm_link.target import NotEnrolled, host_and_port

_WHAT = "host port"
_NO_PORT = f"this machine has no port {PORT_NAME}"
_BY_ITSELF = (
    "guest-stub run enrols it by itself within some seconds: does it run? Else: guest-stub enrol --from-host"
)
_LEFT = (
    "nobody of the host is at its port: is svm-host serve running there, and this machine one that it enrols "
    "(enrolment of its settings)? Or have svm-host enrol run for it"
)
_STATES = {
    PortState.BUSY: "another program speaks on its port: it enrols now; look again in a minute",
    PortState.FORBIDDEN: "its port is root's: run guest-stub doctor as root",
    PortState.LEFT: _LEFT,
    PortState.ATTENDED: f"the host is at its port, and {_BY_ITSELF}",
}


def host_finding(setup: Setup, ports: Ports | None = None) -> Finding:
    """Whether the port is there, and what this guest has of it, or waits for."""
    state = (ports or Ports()).state()
    if setup.is_svm_set and not host_and_port(setup.svm):
        there = _NO_PORT if state is PortState.NONE else f"the port {PORT_NAME} is there"
        return Finding(_WHAT, None, f"{there}, which is not needed on a unix socket")
    why = _wanting(setup)
    if why is None:
        return _enrolled(setup, state)
    if state is PortState.NONE:
        todo = (
            "have its host plug it (svm-host enrol), or enrol with a token (guest-stub enrol --svm HOST ...)"
        )
        return Finding(_WHAT, None, f"{_NO_PORT}: {todo}")
    waits = state in (PortState.ATTENDED, PortState.BUSY)
    return Finding(_WHAT, None if waits else False, f"{why}: {_STATES[state]}")


def _enrolled(setup: Setup, state: PortState) -> Finding:
    """Of a guest that has its identity."""
    known = setup.identity.read()
    from_host = known is not None and known.asked_with == by_host(known.guest)
    has = f"this guest has its identity{' by the word of its host' if from_host else ', by a token'}"
    if state is PortState.NONE:
        later = "; where it has to enrol anew, its host has to plug one (svm-host enrol)" if from_host else ""
        return Finding(_WHAT, None, f"{has}, and the machine no port {PORT_NAME}{later}")
    if state is PortState.LEFT:
        return Finding(_WHAT, None, f"{has}; where it has to enrol anew it would wait: {_LEFT}")
    return Finding(_WHAT, True, f"{has}, and the port is there for the next time")


def _wanting(setup: Setup) -> str | None:
    """Why this guest has to enrol; None where it has what it needs, or `identity` says what is amiss."""
    try:
        known, proof = setup.identity.read(), setup.identity.proof()
    except IdentityRefused:
        return "what is kept of its identity cannot be used"
    except NotEnrolled as problem:
        if setup.identity.read() is None:
            return "this guest is not enrolled, and waits for its host"
        return str(problem)
    if known is not None and time.time() >= proof.ends:
        return "this guest's certificate has run out, and it waits for its host"
    return None
