"""`guest-stub doctor`: whether this machine can be protected, and whether it is; a line for each thing."""

import asyncio
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

from guest_stub.cli.host_findings import host_finding
from guest_stub.cli.identity_findings import Finding, identity_findings
from guest_stub.cli.setup import Setup
from guest_stub.console import printable
from guest_stub.mounts import PSEUDO
from guest_stub.on_access.coverage import MOUNTINFO, parse_mounts
from guest_stub.on_access.fanotify import PERMISSION, FanotifyUnavailable, Group
from guest_stub.on_access.passing import has_writer
from guest_stub.on_access.policy import Mode
from guest_stub.outbox import waiting_in
from guest_stub.remediation.done import Action
from guest_stub.svm_link.link import SvmLink, SvmUnreachable

_SECONDS = 5.0
# In two pieces, so that no scanner takes this module for the test file.
_EICAR = b"".join((rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$", rb"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"))
_OPENED = "the EICAR test file can be opened: does `guest-stub run` run, with block-open?"
_MARKS = {True: "ok", False: "AMISS", None: "note"}


async def doctor(setup: Setup, say: Callable[[str], None]) -> int:
    """Say what is found; 0 when all is well, 1 when something is amiss."""
    findings = [
        *_kernel(),
        *_mounts(setup),
        _action(setup),
        *identity_findings(setup),
        host_finding(setup),
        await _svm(setup),
        _events(setup.store.directory),
        _meant(await _probed(setup.store.directory), setup),
    ]
    for finding in findings:
        say(f"{_MARKS[finding.good]:5}  {finding.what}: {printable(finding.said)}")
    return int(any(finding.good is False for finding in findings))


def _kernel() -> Iterator[Finding]:
    """What the kernel can do, tried on a file of our own that has no name."""
    try:
        group = Group(asks=True)
    except FanotifyUnavailable as error:
        yield Finding("kernel", False, str(error))
        return
    yield Finding("kernel", True, f"files can be watched (Linux {os.uname().release})")
    with closing(group), tempfile.TemporaryFile() as file:
        reading = os.open(f"/proc/self/fd/{file.fileno()}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            group.pass_over(reading, PERMISSION)
            yield Finding("marks", True, "a file that was allowed costs nothing until it changes")
        except OSError as error:
            why = f"every open is answered by the stub, which takes longer: {error.strerror}"
            yield Finding("marks", None, f"{why} (Linux 5.19 has what is missing)")
        held = has_writer(reading)
        file.close()
        if held and not has_writer(reading):
            yield Finding("leases", True, "who holds a file open for writing is noticed")
        else:
            yield Finding("leases", None, "writers cannot be told here: every open is answered by the stub")
        os.close(reading)


def _mounts(setup: Setup) -> Iterator[Finding]:
    """Which mount points are watched, and which are not."""
    settings = setup.settings.on_access
    mounts = {mount.point: mount for mount in parse_mounts(MOUNTINFO.read_bytes())}
    left = [mount for mount in mounts.values() if mount.kind not in PSEUDO]
    watched = [mount for mount in left if settings.watches(mount)]
    good = bool(watched)
    yield Finding("watched", good, ", ".join(f"{each.point} ({each.kind})" for each in watched) or "nothing")
    missing = [point for point in settings.watch if point not in mounts]
    if missing:
        yield Finding("mounts", False, f"nothing is mounted at {', '.join(missing)}: correct on_access.watch")
    others = [f"{each.point} ({each.kind})" for each in left if each not in watched]
    if others:
        yield Finding("not watched", None, ", ".join(others))


def _action(setup: Setup) -> Finding:
    """What is done about a detection."""
    settings = setup.settings.on_access
    what = {
        Action.BLOCK: "a detected file cannot be opened, and stays",
        Action.QUARANTINE: "a detected file cannot be opened, and is quarantined",
        Action.DELETE: "a detected file cannot be opened, and is deleted",
        Action.REPORT: "a detected file is reported, and CAN be opened",
    }
    return Finding("action", None, f"{what[settings.action]} ({settings.mode})")


async def _svm(setup: Setup) -> Finding:
    """Whether an SVM answers."""
    try:
        async with await SvmLink.open(setup.target, setup.labels, _SECONDS) as link:
            return Finding("svm", True, f"{setup.svm} answers, generation {link.generation:016x}")
    except SvmUnreachable as problem:
        return Finding("svm", False, f"{setup.svm}: {problem}")


def _events(state: Path) -> Finding:
    """How much the SVM has not been told of yet."""
    try:
        waiting = waiting_in(state)
    except OSError as error:
        return Finding("events", False, f"{state}: they cannot be read: {error.strerror}")
    return Finding("events", None, f"{waiting} wait to be told to the SVM" if waiting else "none waits")


async def _probed(state: Path) -> Finding:
    try:
        return await asyncio.wait_for(asyncio.to_thread(_probe, state), 2 * _SECONDS)
    except TimeoutError:
        return Finding("probe", False, "whoever opens the EICAR test file is not answered")


def _meant(probed: Finding, setup: Setup) -> Finding:
    """What it means that the test file can be opened: nothing where nobody waits for that."""
    settings, state = setup.settings.on_access, os.path.realpath(setup.store.directory)
    if probed.said != _OPENED:
        return probed
    if settings.mode is not Mode.BLOCK_OPEN:
        why = f"can be opened, as it should with {settings.mode}: look for it in the log of guest-stub run"
        return Finding("probe", None, f"the EICAR test file {why}")
    mounts = [each for each in parse_mounts(MOUNTINFO.read_bytes()) if _is_below(state, each.point)]
    if mounts and not settings.watches(max(mounts, key=lambda each: len(each.point))):
        why = f"says nothing: {state}, where it is made, is not watched: name a watched place by --state"
        return Finding("probe", None, f"the EICAR test file {why}")
    return probed


def _is_below(path: str, mount: str) -> bool:
    """Whether a path is a mount point or below it."""
    return mount in ("/", path) or path.startswith(f"{mount}/")


def _probe(state: Path) -> Finding:
    """Whether the EICAR test file can be opened, by a process that is not the stub. For a thread."""
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=state, prefix="probe-", suffix=".com", delete=False) as file:
            file.write(_EICAR)
    except OSError as error:
        return Finding("probe", False, f"{state}: the EICAR test file cannot be written: {error.strerror}")
    try:
        Path(file.name).read_bytes()
    except (PermissionError, FileNotFoundError):
        return Finding("probe", True, "the EICAR test file cannot be opened: this machine is protected")
    except OSError as error:
        return Finding("probe", False, f"the EICAR test file cannot be read: {error.strerror}")
    finally:
        with suppress(OSError):
            os.unlink(file.name)
    return Finding("probe", False, _OPENED)
