"""Certificates of the SVM itself: their ends, whether they belong together and fit the doors."""

from collections.abc import Iterator
from pathlib import Path

from appliance.config import Settings
from appliance.config_doors import ServerSettings
from appliance.doctor.findings import Finding, amiss, ending, note, ok
from appliance.domain.identity import SERVER_NAME
from appliance.identity.files import DIRECTORY
from appliance.identity.inspection import Inspected, Seen, first_of, inspect

_EVERYWHERE = ("0.0.0.0", "::", "[::]")  # noqa: S104  # compared, not bound

_REMEDIES = {
    "ca.pem": ("authority", "move identity/ away and run `svm init`; every guest then enrols anew"),
    "chain.pem": ("chain", "get a newer one of whoever issued it, and begin anew with it by `svm init`"),
    "server.pem": ("server's certificate", "`svm init --renew-server`, then start the SVM anew"),
    "administrator.pem": (
        "administrator's certificate",
        "move it away and run `svm init --administrator NAME`, or `svm certificates issue`",
    ),
}


def certificate_findings(settings: Settings, now: float) -> Iterator[Finding]:
    """Look at what `svm init` made, and at the certificate that is shown to KSN."""
    directory = settings.server.state_dir / DIRECTORY
    if directory.is_dir() and any(directory.iterdir()):  # an empty one is none
        yield from identity_findings(inspect(directory), settings.server, now)
    else:
        yield no_identity(settings.server)
    for setting in ("certificate_file", "ca_file"):
        path: Path | None = getattr(settings.ksn, setting)
        if settings.ksn.enabled and path is not None:
            yield _other(f"ksn.{setting}", path, now)


def identity_findings(inspected: Inspected, server: ServerSettings, now: float) -> Iterator[Finding]:
    """What there is to say of an identity. now: seconds since the epoch."""
    for problem in inspected.problems:
        yield amiss("identity", problem)
    for seen in inspected.certificates:
        what, remedy = _REMEDIES[seen.file]
        if seen.begins > now:
            yield amiss(what, "does not count yet: this machine's clock is wrong, or was when it was made")
        else:
            yield ending(what, seen.ends, now, remedy)
    if not inspected.problems:
        yield ok("identity", "keys, certificates and their chain belong together")
    for seen in inspected.certificates:
        if seen.file == "server.pem":
            yield from _names(seen, server)


def no_identity(server: ServerSettings) -> Finding:
    """What it means that `svm init` was not run."""
    needing = [name for name in ("enrolment", "admin_listen") if getattr(server, name)]
    if server.listen.startswith("tcp:"):
        needing.insert(0, "listen")
    if needing:
        why = f"server.{needing[0]} is on TCP, and there is no authority whose certificates say who calls"
        return amiss("identity", f"{why}: the SVM does not start before `svm init` was run")
    return note("identity", "none: guests come over a unix socket; `svm init` makes one for TCP")


def _names(seen: Seen, server: ServerSettings) -> Iterator[Finding]:
    """Whether the server's certificate fits where the SVM listens."""
    listening = [text.removeprefix("tcp:") for text in (server.listen, server.enrolment, server.admin_listen)]
    hosts = {text.rpartition(":")[0] for text in listening if text and not text.startswith("unix:")}
    renew = "`svm init --renew-server --address ADDRESS`"
    known = [name for name in seen.names if name != SERVER_NAME]
    missing = sorted(host for host in hosts if host not in _EVERYWHERE and host.strip("[]") not in known)
    if missing:
        yield note(
            "names",
            f"the server's certificate does not name {', '.join(missing)}, where the SVM listens; guests do "
            f"not mind, but commands that are printed for them may name another address: {renew}",
        )
    elif hosts and not known:
        yield note("names", f"it is not known by which address guests reach the SVM: {renew}")
    elif hosts:
        yield ok("names", f"the server's certificate is for {', '.join(known)}")


def _other(what: str, path: Path, now: float) -> Finding:
    try:
        return ending(what, first_of(path).ends, now, f"put a newer one into {path}")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it holds no certificate as PEM"
        return amiss(what, f"{path} cannot be used: {why}")
