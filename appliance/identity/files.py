"""Where the SVM's identity lies: STATE_DIR/identity, for nobody's eyes but the SVM's, and how it begins.

    ca.pem ca.key                        the authority; chain.pem: those above it, where it was given
    server.pem server.key                what the SVM shows; server.pem has the authority, and those above,
    behind administrator.pem administrator.key  the first administrator's: to be moved to where he works

`svm init` makes all of it in a directory beside, and moves that there in one step: nobody finds half of it.
What is there is never written over, but for a server certificate that is to be renewed, which is replaced in
one step.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.domain.caller import Caller, Role
from appliance.domain.identity import SERVER_NAME, Certificate
from appliance.durable import sync_directory
from appliance.identity.authority import (
    SLACK_SECONDS,
    Authority,
    AuthorityUnusable,
    Life,
    ends_of,
    names_of,
    pem_of,
)
from appliance.identity.keys import MALFORMED, key_pem, new_key
from appliance.identity.names import named_by
from appliance.owner import as_owner
from appliance.regular import NoFile, open_regular

DIRECTORY = "identity"
FIRST_ADMINISTRATOR = "administrator"
AUTHORITY_DAYS = 3650
MAX_FILE_BYTES = 256 * 1024

_BEING_MADE = ".identity-"
_FILES = ("ca.pem", "ca.key", "server.pem", "server.key")


class IdentityUnusable(Exception):
    """The SVM's identity cannot be used or made; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class SvmIdentity:
    """What an SVM is known by. server: PEM, its certificate and those above; key: PEM."""

    authority: Authority
    server: bytes
    key: bytes

    @property
    def server_ends_at(self) -> float:
        """When the server's certificate ends, in seconds since the epoch."""
        return ends_of(self.server)

    @property
    def addresses(self) -> list[str]:
        """What `svm init` was told that the SVM can be reached by."""
        return [name for name in names_of(self.server) if name != SERVER_NAME]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `svm init` is to make. name: the SVM's. addresses: DNS names and IP addresses of it.

    administrator: the name of the first one; None for the usual name, and for none once there is an
    authority. authority: one that is given, with its key as PEM; None for one
    that is made. days: how long the server's and the administrator's certificates count.
    """

    name: str
    addresses: Sequence[str]
    administrator: str | None = None
    authority: tuple[Authority, bytes] | None = None
    days: tuple[int, int] = (825, 365)


def load(state_dir: Path) -> SvmIdentity | None:
    """Read the identity of an SVM; None where `svm init` has made none. Raises IdentityUnusable."""
    directory = state_dir / DIRECTORY
    if not _is_there(directory):
        return None
    ca, ca_key, server, key = (read_private(directory / name) for name in _FILES)
    chain = directory / "chain.pem"
    try:
        authority = Authority.load(ca, ca_key, read_private(chain) if chain.exists() else b"")
        _check_pair(server, key)
        ends_of(server)
        names_of(server)
    except (AuthorityUnusable, ValueError) as error:
        raise IdentityUnusable(f"{directory}: {error}") from error
    return SvmIdentity(authority, server, key)


def first_administrator(state_dir: Path, authority: Authority) -> Certificate | None:
    """What is to be known of the certificate that `svm init` made for an administrator; None without one.

    Raises IdentityUnusable where it is not one of this authority.
    """
    path = state_dir / DIRECTORY / "administrator.pem"
    if not path.exists():
        return None
    try:
        certificate = x509.load_pem_x509_certificates(read_private(path))[0]
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.pem))
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (uri,) = found.get_values_for_type(x509.UniformResourceIdentifier)
        named_by(uri)
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except MALFORMED as error:
        raise IdentityUnusable(
            f"{path} is no certificate of this SVM's authority: move it away, `svm init` makes another"
        ) from error
    sha256, serial = certificate.fingerprint(hashes.SHA256()), f"{certificate.serial_number:x}"
    return Certificate(sha256, serial, uri, begins.timestamp() + SLACK_SECONDS, ends.timestamp())


def make(state_dir: Path, wanted: Wanted, now: float) -> list[str]:
    """Make what is not there yet; the names of the files that were made. Raises IdentityUnusable, BadName.

    now: seconds since the epoch.
    """
    with as_owner(state_dir):
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory = state_dir / DIRECTORY
    with _alone(state_dir):
        if not _is_there(directory):
            _make_all(directory, wanted, now)
            return sorted(path.name for path in directory.iterdir())
        if wanted.authority is not None:
            raise IdentityUnusable(
                f"{directory} has an authority already: move it away to begin with another, with which every "
                "guest and administrator has to enrol anew"
            )
        return _make_missing(directory, wanted, now)


def renew_server(state_dir: Path, wanted: Wanted, now: float) -> None:
    """Replace the server's certificate by a newer one of the same key. Raises IdentityUnusable.

    Its addresses stay, those that are wanted are added.
    """
    directory = state_dir / DIRECTORY
    with _alone(state_dir):
        identity = load(state_dir)
        if identity is None:
            raise IdentityUnusable(f"{directory} is not there: `svm init` makes it")
        key = serialization.load_pem_private_key(identity.key, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        addresses = [*identity.addresses, *wanted.addresses]
        holder = Caller(wanted.name, Role.SVM)
        issued = identity.authority.issue(key.public_key(), holder, now, wanted.days[0], addresses)
        _put(directory / "server.pem", pem_of(issued.der) + identity.authority.chain_pem)


def read_private(path: Path) -> bytes:
    """Return a file that only its owner may read. Raises IdentityUnusable."""
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise IdentityUnusable(f"{path} can be read by others than its owner: `chmod 600 {path}`")
            content = file.read(MAX_FILE_BYTES + 1)
    except NoFile as error:
        raise IdentityUnusable(f"{path} is no file: put the one from a backup in its place") from error
    except OSError as error:
        raise IdentityUnusable(
            f"{path} cannot be read ({error.strerror}): restore it from a backup, or see whose it is"
        ) from error
    if len(content) > MAX_FILE_BYTES:
        raise IdentityUnusable(f"{path} has more than {MAX_FILE_BYTES} bytes: it is something else")
    return content


def _is_there(directory: Path) -> bool:
    """Whether there is anything; a restore leaves an empty directory where a backup had no identity."""
    return directory.is_dir() and any(directory.iterdir())


def _make_all(directory: Path, wanted: Wanted, now: float) -> None:
    making = Path(tempfile.mkdtemp(prefix=_BEING_MADE, dir=directory.parent))
    try:
        if wanted.authority is None:
            life = Life(int(now) - SLACK_SECONDS, int(now) + AUTHORITY_DAYS * 86400)
            authority, key = Authority.make(wanted.name, life)
            secret = key_pem(key)
        else:
            authority, secret = wanted.authority
        _put(making / "ca.key", secret)
        _put(making / "ca.pem", authority.pem)
        if len(authority.chain) > 1:
            _put(making / "chain.pem", authority.chain_pem.removeprefix(authority.pem))
        _make_server(making, authority, wanted, now)
        _make_administrator(making, authority, wanted, now)
        sync_directory(making)
        making.rename(directory)
        sync_directory(directory.parent)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise


def _make_missing(directory: Path, wanted: Wanted, now: float) -> list[str]:
    before = {path.name for path in directory.iterdir()}
    chain = read_private(directory / "chain.pem") if "chain.pem" in before else b""
    try:
        authority = Authority.load(
            read_private(directory / "ca.pem"), read_private(directory / "ca.key"), chain
        )
    except AuthorityUnusable as error:
        raise IdentityUnusable(f"{directory}: {error}") from error
    if "server.pem" not in before:
        _make_server(directory, authority, wanted, now)
    if "administrator.pem" not in before and wanted.administrator is not None:
        _make_administrator(directory, authority, wanted, now)
    sync_directory(directory)
    return sorted({path.name for path in directory.iterdir()} - before)


def _make_server(directory: Path, authority: Authority, wanted: Wanted, now: float) -> None:
    key, holder = new_key(), Caller(wanted.name, Role.SVM)
    issued = authority.issue(key.public_key(), holder, now, wanted.days[0], wanted.addresses)
    _put(directory / "server.key", key_pem(key))
    _put(directory / "server.pem", pem_of(issued.der) + authority.chain_pem)  # last: with it, both are there


def _make_administrator(directory: Path, authority: Authority, wanted: Wanted, now: float) -> None:
    key, holder = new_key(), Caller(wanted.administrator or FIRST_ADMINISTRATOR, Role.PROVIDER)
    issued = authority.issue(key.public_key(), holder, now, wanted.days[1])
    _put(directory / "administrator.key", key_pem(key))
    _put(directory / "administrator.pem", pem_of(issued.der))


def _put(path: Path, content: bytes) -> None:
    """Have a file of these bytes there, in one step, and on the disk. Raises IdentityUnusable."""
    try:
        _replace(path, content)
    except OSError as error:
        shown = _making_of(path.parent) / path.name
        why = f"{shown} cannot be written ({error.strerror}), and none of it was"
        raise IdentityUnusable(
            f"{why}: free room on its disk, or see that whom the directory belongs to may write there"
        ) from error


def _making_of(directory: Path) -> Path:
    """The directory that one will be, where it is one that is being made."""
    return directory.parent / DIRECTORY if directory.name.startswith(_BEING_MADE) else directory


def _replace(path: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=_BEING_MADE, delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.rename(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


@contextmanager
def _alone(state_dir: Path) -> Iterator[None]:
    """Hold off others that make an identity here; what one left that was killed is taken away.

    Root is meanwhile whom the directory belongs to, and so is what it makes: the SVM may run as another user.
    """
    with as_owner(state_dir), _locked(state_dir):
        yield


@contextmanager
def _locked(state_dir: Path) -> Iterator[None]:
    fd = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise IdentityUnusable(f"another svm init works in {state_dir}: wait for it") from error
        for left in (*state_dir.glob(f"{_BEING_MADE}*"), *(state_dir / DIRECTORY).glob(f"{_BEING_MADE}*")):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        yield
    finally:
        os.close(fd)


def _check_pair(certificate: bytes, key: bytes) -> None:
    """Raise ValueError where the server's certificate and its key do not belong together."""
    try:
        shown = x509.load_pem_x509_certificates(certificate)[0].public_key()
        own = serialization.load_pem_private_key(key, None).public_key()
    except TypeError as error:
        raise ValueError("server.key is encrypted: give one that is not") from error
    except MALFORMED as error:
        raise ValueError(f"server.pem or server.key cannot be read: {error}") from error
    if shown != own or not isinstance(own, ec.EllipticCurvePublicKey):
        raise ValueError("server.key is not the key of server.pem: move both away, `svm init` makes others")
