"""The doors on TCP: guests with certificates, nobody at the enrolment, administrators who may do little."""

from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lightagent.v1 import admin_pb2, enrolment_pb2, events_pb2, exposure_pb2, identity_pb2, scans_pb2

from appliance.identity.keys import csr_for
from tests.fuzz.messages import messages
from tests.fuzz.mutation import mutated, seeds
from tests.fuzz.steps import GUESTS, HINTS, OTHERS, Say, Step, stories
from tests.fuzz.tls_doors import (
    DIGEST,
    ENROL,
    KEYS,
    RENEW,
    UUIDS,
    WHO,
    Called,
    DoorOfAdministrators,
    DoorOfEnrolment,
    DoorOfGuests,
    Enrolling,
)
from tests.fuzz.watched import watched_svm
from tests.support.identities import MACHINE

REQUESTS = [csr_for(KEYS[0]), *(data for name, data in seeds("certificates") if name.startswith("request"))]
_CSR = (
    st.sampled_from(REQUESTS)
    | mutated(st.sampled_from(REQUESTS))
    | st.binary(max_size=40)
    | st.just(bytes(5000))
)
_MACHINE = st.sampled_from([b"m" * 32, b"o" * 32, b"", b"short", bytes(33), bytes(5000)])
_few = settings(deadline=None, suppress_health_check=list(HealthCheck))


def renewals() -> st.SearchStrategy[Say]:
    """What a guest says on Renew."""
    request = messages(enrolment_pb2.RenewRequest, {"csr": _CSR, "machine": _MACHINE})
    said = (
        request
        | mutated(request.map(lambda message: message.SerializeToString()))
        | st.sampled_from(["far over", "deep"])
    )
    return st.builds(Say, st.integers(0, GUESTS - 1), st.just(RENEW), said)


def of_guests() -> st.SearchStrategy[list[Step]]:
    """Stories of a socket, with renewals among their steps."""

    def mixed(story: list[Step], more: list[tuple[int, Say]]) -> list[Step]:
        for place, step in more:
            story.insert(place % (len(story) + 1), step)
        return story

    return st.builds(mixed, stories(), st.lists(st.tuples(st.integers(0, 50), renewals()), max_size=6))


@pytest.mark.hypothesis
def test_whatever_guests_with_certificates_do_the_svm_serves_the_one_beside(tmp_path: Path) -> None:
    """As on a socket: documented ends, nothing fails inside, nothing is left."""
    with watched_svm(tmp_path, DoorOfGuests.making) as play:

        @settings(_few, max_examples=10)
        @given(of_guests())
        def tell(story: list[Step]) -> None:
            play(story)

        tell()


def of_enrolment() -> st.SearchStrategy[list[Enrolling | Called]]:
    """What nobody in particular says at the enrolment."""
    good = st.sampled_from(["good 0", "good 1", "used"])
    token = good | good | st.sampled_from(["", "kvmla1_" + "A" * 43, "x" * 128, "x" * 129, "x" * 60_000])
    key, machine = st.sampled_from([0, 1]), st.just(MACHINE)
    host = st.text(max_size=20) | st.sampled_from(["h" * 5000, "\x1b[31m\0\u202e", "\U0010ffff" * 100])
    sound = st.builds(Enrolling, good, key, machine, st.just("vm"))
    odd = st.builds(Enrolling, token, key | _CSR, machine | _MACHINE, host)
    request = messages(enrolment_pb2.EnrolRequest, {"csr": _CSR, "machine": _MACHINE})
    said = st.lists(
        mutated(request.map(lambda message: message.SerializeToString())) | st.binary(max_size=30), max_size=2
    ).map(tuple)
    other = st.sampled_from([ENROL, ENROL, RENEW, *OTHERS])
    kinds: list[st.SearchStrategy[Any]] = [
        sound,
        sound,
        odd,
        odd,
        st.builds(Called, st.just(""), other, said),
    ]
    return st.lists(st.one_of(kinds), min_size=6, max_size=16)


@pytest.mark.hypothesis
def test_nobody_gets_a_certificate_without_a_token(tmp_path: Path) -> None:
    """Each token one guest, for one key; what is refused is refused as documented."""
    with watched_svm(tmp_path, DoorOfEnrolment.making) as play:

        @settings(_few, max_examples=8)
        @given(of_enrolment())
        def tell(story: list[Enrolling | Called]) -> None:
            play(story)

        tell()


_TENANTS = st.sampled_from(
    ["", "", "acme", "acme", "other", "default", "nobody", "no tenant", "\0", "t" * 65]
)
_GUESTS = st.sampled_from([*UUIDS.values(), "", "uid-0.pid-1", "g" * 5000, "\u00e4"])
_HINTS = {
    **HINTS,
    "tenant": _TENANTS,
    "guest": _GUESTS,
    "uuid": _GUESTS,
    "guests": _GUESTS,
    "sha256": st.sampled_from([DIGEST, bytes(32), b"", b"abcd", bytes(33)]),
    "csr": _CSR,
    "role": st.sampled_from(["provider", "auditor", "tenant-admin", "guest", ""]),
    "scans": st.sampled_from([bytes(16), b"", bytes(17)]),
    "paths": st.sampled_from([b"/", b"/etc/../x", b"", b"/\xff", b"/" * 5000]),
    "limit": st.sampled_from([0, 1, 1000, (1 << 32) - 1]),
    "lightagent.v1.ListCertificatesRequest.guests": st.booleans(),
    "lightagent.v1.GetStatementTextRequest.sha256": st.sampled_from(["", "0" * 8, "x" * 8, "0" * 65]),
    "kinds": st.sampled_from(["detection", "identity", "", "\0"]),
}
# Half of all calls are of who may change something.
WHO_CALLS = [*WHO, "administrator of acme", "administrator of acme"]
_FILES = (admin_pb2, events_pb2, exposure_pb2, scans_pb2, identity_pb2)
METHODS: list[MethodDescriptor] = [
    method
    for file in _FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


# What makes a request that is done, if the caller may.
_SOUND = {
    **_HINTS,
    "tenant": st.sampled_from(["", "acme", "other"]),
    "guest": st.sampled_from(list(UUIDS.values())),
    "guests": st.sampled_from(list(UUIDS.values())),
    "uuid": st.sampled_from(["", *UUIDS.values()]),
    "sha256": st.just(DIGEST),
    "reason": st.just("because"),
    "csr": st.just(REQUESTS[0]),
    "name": st.just("eve"),
    "paths": st.just(b"/etc"),
    "limit": st.integers(0, 9),
    "all": st.just(False),
    "follow": st.just(False),
    "mode": st.just(1),
    "Duration": st.just(Duration(seconds=3600)),
    "Timestamp": st.just(Timestamp(seconds=4_000_000_000)),
}


def _called(method: MethodDescriptor) -> st.SearchStrategy[Called]:
    kind = GetMessageClass(method.input_type)
    sound, odd = (
        messages(kind, hints).map(lambda message: message.SerializeToString()) for hints in (_SOUND, _HINTS)
    )
    said = st.one_of(*[sound] * 5, *[odd] * 3, mutated(odd)).map(lambda one: (one,))
    path = f"/{method.containing_service.full_name}/{method.name}"
    return st.builds(Called, st.sampled_from(WHO_CALLS), st.just(path), said | said | said | st.just(()))


def of_administrators() -> st.SearchStrategy[list[Called]]:
    """What they say, of every method."""
    return st.lists(st.sampled_from(METHODS).flatmap(_called), min_size=15, max_size=40)


@pytest.mark.hypothesis
def test_administrators_change_what_is_theirs_and_nothing_else(tmp_path: Path) -> None:
    """Auditors nothing, those of a tenant nothing of others; every call ends as documented."""
    with watched_svm(tmp_path, DoorOfAdministrators.making) as play:

        @settings(_few, max_examples=12)
        @given(of_administrators())
        def tell(story: list[Called]) -> None:
            play(story)

        tell()
