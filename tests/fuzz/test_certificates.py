"""Requests for certificates, certificates and keys in files, and the names that stand in them."""

import base64
import json
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.domain.caller import Caller, NotAdmitted, Role
from appliance.identity import files
from appliance.identity.authority import Authority, AuthorityUnusable, ends_of, names_of
from appliance.identity.keys import BadCsr, public_key_of
from appliance.identity.names import BadName, named_by, uri_of
from guest_stub.cli.identity import _json, _lines
from guest_stub.identity import kept
from guest_stub.identity.child import Command
from guest_stub.identity.keys import Unsound, request
from guest_stub.identity.renewing import Renewing
from guest_stub.identity.store import IdentityRefused, IdentityStore
from tests.fuzz.mutation import mutated, seeds
from tests.support.identities import NOW, office, shown
from tests.support.properties import fuzzing

# What a later cryptography will refuse: it is refused or taken by then, and never crashes.
pytestmark = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")

SEEDS = dict(seeds("certificates"))
REQUESTS = [data for name, data in SEEDS.items() if name.startswith("request")]
# Its version is 1, where only 0 is one.
OF_VERSION_2 = SEEDS["request-p256.der"].replace(b"\x02\x01\x00", b"\x02\x01\x01", 1)
AUTHORITY, KEY = SEEDS["authority.pem"], SEEDS["authority.key"]
PEMS = [SEEDS["guest.pem"], SEEDS["server.pem"], AUTHORITY]
# Tags, lengths and object identifiers of ASN.1: curves, algorithms, extensions.
WORDS = [
    *(
        b"\x30\x80",
        b"\x30\x82\xff\xff",
        b"\x02\x01\x00",
        b"\x05\x00",
        b"\x03\x01\x00",
        b"\x31\x00",
        b"\xa0\x00",
    ),
    *map(
        bytes.fromhex,
        ("06082a8648ce3d030107", "06052b81040022", "06092a864886f70d01010b", "06082a8648ce3d040302"),
    ),
    *map(bytes.fromhex, ("0603551d11", "0603551d13", "0603551d0f", "06092a864886f70d01090e", "06032b6570")),
]


def der_of(pem: bytes) -> bytes:
    """The first thing in a PEM file."""
    return base64.b64decode(b"".join(pem.split(b"-----")[2].split()))


def pem_again(der: bytes, kind: str = "CERTIFICATE") -> bytes:
    """PEM of what may be no DER."""
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN {kind}-----\n{body}-----END {kind}-----\n".encode()


def spoiled(pems: list[bytes], kind: str = "CERTIFICATE") -> st.SearchStrategy[bytes]:
    """PEM files with a change within the DER, or within the text."""
    inside = mutated(st.sampled_from([der_of(pem) for pem in pems]), WORDS)
    return inside.map(lambda der: pem_again(der, kind)) | mutated(st.sampled_from(pems), [b"-----", b"\n"])


@fuzzing
@given(mutated(st.sampled_from(REQUESTS), WORDS))
@example(OF_VERSION_2)  # InvalidVersion came out of it
def test_a_request_is_for_a_key_of_the_right_kind_or_refused(csr: bytes) -> None:
    """BadCsr and nothing else."""
    with suppress(BadCsr):
        assert isinstance(public_key_of(csr).curve, ec.SECP256R1)


@fuzzing
@given(
    spoiled([AUTHORITY]) | st.just(AUTHORITY),
    spoiled([KEY], "PRIVATE KEY") | st.just(KEY),
    spoiled(PEMS) | st.just(b""),
)
def test_files_of_an_authority_make_one_or_are_refused(certificate: bytes, key: bytes, chain: bytes) -> None:
    """AuthorityUnusable and nothing else; one that is made issues, or says why not."""
    with suppress(AuthorityUnusable):
        authority = Authority.load(certificate, key, chain)
        holder = Caller("probe", Role.PROVIDER)
        public = public_key_of(SEEDS["request-p256.der"])
        assert authority.issue(public, holder, 1_800_000_000, 1).record.holder == uri_of(holder)


FILES = ("ca.pem", "ca.key", "server.pem", "server.key", "administrator.pem", "administrator.key")


@pytest.mark.hypothesis
def test_a_spoiled_file_of_an_svms_identity_is_used_or_refused(tmp_path: Path) -> None:
    """IdentityUnusable and nothing else, by whoever reads or renews: svm serve, svm init, svm doctor."""
    wanted = files.Wanted("probe", ["192.0.2.1"])
    files.make(tmp_path, wanted, NOW)
    directory = tmp_path / files.DIRECTORY
    sound = {name: (directory / name).read_bytes() for name in FILES}

    @fuzzing
    @given(st.sampled_from(FILES).flatmap(lambda name: st.tuples(st.just(name), spoiled([sound[name]]))))
    def read(what: tuple[str, bytes]) -> None:
        for name, content in (sound | dict([what])).items():
            (directory / name).write_bytes(content)
        for use in (
            lambda: shown_of(files.load(tmp_path)),
            lambda: files.make(tmp_path, wanted, NOW),
            lambda: files.renew_server(tmp_path, wanted, NOW),
        ):
            with suppress(files.IdentityUnusable):
                use()

    read()


def shown_of(identity: files.SvmIdentity | None) -> None:
    """What the SVM and its doctor look at in an identity that was loaded."""
    assert identity is not None
    assert identity.server_ends_at
    assert identity.addresses is not None
    assert identity.authority.chain_pem


def signed_anew(tbs: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """PEM of a certificate with any contents, by the authority's own key. tbs: DER, at least 256 bytes."""
    signature = key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    bits = bytes([3, len(signature) + 1, 0]) + signature
    body = tbs + bytes.fromhex("300a06082a8648ce3d040302") + bits
    return pem_again(b"\x30\x82" + len(body).to_bytes(2, "big") + body)


# In each the extension of key usage becomes another one that is there as well.
TWICE = [(bytes.fromhex("0603551d0f"), bytes.fromhex(other)) for other in ("0603551d11", "0603551d13")]


@pytest.mark.hypothesis
def test_a_first_administrator_whom_the_authority_signed_is_one_or_refused(tmp_path: Path) -> None:
    """IdentityUnusable and nothing else, whatever is in what the authority has signed."""
    files.make(tmp_path, files.Wanted("probe", []), NOW)
    path = tmp_path / files.DIRECTORY / "administrator.pem"
    identity = files.load(tmp_path)
    assert identity is not None
    key = serialization.load_pem_private_key((path.parent / "ca.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    tbs = x509.load_pem_x509_certificate(path.read_bytes()).tbs_certificate_bytes
    twice = [tbs.replace(*change) for change in TWICE]

    @fuzzing
    @given(mutated(st.just(tbs), WORDS))
    @example(twice[0])  # DuplicateExtension came out of it
    @example(twice[1])
    def adopt(contents: bytes) -> None:
        path.write_bytes(signed_anew(contents, key))
        with suppress(files.IdentityUnusable):
            found = files.first_administrator(tmp_path, identity.authority)
            assert found is not None
            assert uri_of(named_by(found.holder)) == found.holder

    adopt()
    assert tbs not in twice


@fuzzing
@given(spoiled(PEMS))
def test_what_is_read_of_a_certificate_file_is_had_or_refused(pem: bytes) -> None:
    """ValueError and nothing else."""
    for read in (names_of, ends_of):
        with suppress(ValueError):
            read(pem)


@pytest.mark.hypothesis
def test_a_certificate_that_was_changed_admits_nobody(tmp_path: Path) -> None:
    """NotAdmitted, unless it is that of the register to the last bit."""
    with office(tmp_path) as desk:
        own = shown(desk.enrolled("acme"))
        der = ssl.PEM_cert_to_DER_cert(own.decode())

        @fuzzing
        @given(spoiled([own]) | st.binary(max_size=200) | spoiled(PEMS))
        def show(pem: bytes) -> None:
            try:
                desk.registry.caller(pem)
            except NotAdmitted:
                return
            assert ssl.PEM_cert_to_DER_cert(pem.decode().strip()) == der

        show()


URIS = [
    uri_of(Caller("12345678-1234-4234-8234-123456789abc", Role.GUEST, "default")),
    uri_of(Caller("alice", Role.PROVIDER)),
    uri_of(Caller("bob", Role.TENANT_ADMIN, "acme")),
    uri_of(Caller("one", Role.SVM)),
]
NAME_WORDS = [
    b"/",
    b"//",
    b"%2f",
    b"..",
    b"guest",
    b"provider",
    b"administrator",
    b"\n",
    b"\0",
    "\u0660".encode(),
]


@fuzzing
@given(
    mutated(st.sampled_from([uri.encode() for uri in URIS]), NAME_WORDS)
    | st.text(max_size=60).map(str.encode)
)
@example(b"kvm-light-agent://kvm-light-agent://host-agent/x")
def test_a_name_is_of_one_holder_and_written_in_one_way(uri: bytes) -> None:
    """BadName and nothing else; who is named is named by that text alone."""
    text = uri.decode(errors="replace")
    with suppress(BadName):
        assert uri_of(named_by(text)) == text


KEPT = kept.encode(
    kept.Identity(
        "tcp:svm.example:7443",
        "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "acme",
        kept.pem(der_of(AUTHORITY)),
        SEEDS["guest.pem"].decode(),
        KEY.decode(),
        NOW,
        NOW + 1.5,
        NOW + 1,
        "ab" * 32,
    )
)
KEPT_WORDS = [
    *(b"NaN", b"Infinity", b"-1", b"1e300", b"9" * 400, b"null", b"[]", b"{}", b"true", b'""', b"\\ud800"),
    *(b"\\u0000", b"tcp:", b"unix:/x", b"-----BEGIN CERTIFICATE-----", b'"key"', b'"ends"', b'"version"'),
]


def field_changed(name: str, value: object) -> bytes:
    """What is kept, with one field of another value."""
    return json.dumps(json.loads(KEPT) | {name: value}).encode()


NUMBERS = [-1, 10**400, 1e300, float("nan"), float("inf")]
ODD_VALUES: st.SearchStrategy[object] = st.sampled_from([None, True, *NUMBERS, [], {}, "", "\ud800"])


@pytest.mark.hypothesis
def test_a_guests_identity_is_read_or_refused(tmp_path: Path) -> None:
    """IdentityRefused or Unsound and nothing else; what is read can be used, and shown to people."""
    store = IdentityStore(tmp_path)
    with store.open():
        pass
    path = store.directory / "identity.json"
    path.touch(0o600)

    @fuzzing
    @given(
        mutated(st.just(KEPT), KEPT_WORDS)
        | st.builds(field_changed, st.sampled_from(sorted(json.loads(KEPT))), ODD_VALUES)
    )
    @example(field_changed("ends", 1e300))  # OverflowError, of who shows it
    @example(field_changed("renew_at", float("nan")))  # was renewed again and again
    @example(field_changed("key", "\ud800"))  # UnicodeEncodeError, of who connects
    def look(data: bytes) -> None:
        path.write_bytes(data)
        (store.directory / "pending.json").unlink(missing_ok=True)
        with suppress(IdentityRefused, Unsound):
            found = store.read()
            assert found is not None
            assert found.proof.key
            assert _json(found)
            assert _lines(found)
            due_in, _ = Renewing(store, NoLinks(), Command(["nothing"]))._due_in()
            assert due_in < 1e12
            assert request(found.key)

    look()


class NoLinks:
    """No SVM is there."""

    current = None

    def anew(self) -> None:
        """Nothing to do."""
