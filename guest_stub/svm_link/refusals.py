"""Why an SVM over TCP lets nobody in, as sentences that say what to do."""

import time

import grpc
from grpc import aio

from guest_stub.svm_link.target import Proof

ANEW = "enrol this guest anew: guest-stub enrol, with a token of `svm guests token`"

_CLOCK = "set the clocks of guest and SVM, or have the SVM's certificate renewed"
_OTHER = "something else is at this address"
_NO_DOOR = (
    "the connection was closed: is it the port where guests enrol (--enrolment-port)? "
    "If it is, try again in a minute"
)
# gRPC's words for a connection that was taken, and closed from the other side.
_CLOSED = ("Socket closed", "reset by peer", "Broken pipe")
_ANOTHER = (
    "the SVM shows a certificate of another authority than this guest has pinned: "
    f"where that was made anew, enrol anew; else {_OTHER}"
)

# What gRPC says of a handshake that fails, and what that means.
_HANDSHAKES = (
    (
        "CERTIFICATE_VERIFY_FAILED: certificate has expired",
        f"the SVM's certificate has run out, by this guest's clock: {_CLOCK}",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED: certificate is not yet valid",
        f"the SVM's certificate does not count yet, by this guest's clock: {_CLOCK}",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED: unsupported certificate purpose",
        f"what answers shows a certificate that is not an SVM's: {_OTHER}",
    ),
    ("CERTIFICATE_VERIFY_FAILED", _ANOTHER),
    ("certificate signature failure", _ANOTHER),  # of the same name
    ("Hostname Verification", f"what answers shows a certificate that is not an SVM's: {_OTHER}"),
    ("WRONG_VERSION_NUMBER", "what answers there does not speak TLS: is it the SVM's port?"),
)


def why_refused(error: aio.AioRpcError, proof: Proof | None) -> str:
    """A sentence, "" where the status says all that is known.

    proof: what this guest has shown, None for nothing, as where it enrols.
    """
    details = error.details() or ""
    if error.code() is grpc.StatusCode.UNAUTHENTICATED and proof is not None:
        return f"the SVM does not accept this guest's certificate: {details or 'no reason given'}: {ANEW}"
    if error.code() is not grpc.StatusCode.UNAVAILABLE:
        return ""
    for words, meaning in _HANDSHAKES:
        if words in details:
            return meaning
    if not any(words in details for words in _CLOSED):
        return ""
    return _NO_DOOR if proof is None else _of_own(proof, time.time())


def _of_own(proof: Proof, now: float) -> str:
    """An SVM that hangs up after the handshake has not liked what the guest has shown."""
    if now > proof.ends:
        return f"this guest's certificate has run out on {_day(proof.ends)}: {ANEW}"
    if now < proof.begins:
        return f"this guest's certificate counts from {_day(proof.begins)}: set this guest's clock"
    return (
        "the SVM has hung up: it stops, or it does not accept this guest's certificate, as where its clock "
        f"is wrong or its authority was made anew; if it stays so, {ANEW}"
    )


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
