"""A real worker in its sandbox: started, given the test file, ended."""

import asyncio
import hashlib
import json
import os
import pwd
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from appliance.config import (
    CONFIG_VARIABLE,
    ClamdSettings,
    EicarSettings,
    EngineSettings,
    HashlistSettings,
    Settings,
    YaraSettings,
)
from appliance.doctor.findings import Finding, amiss, note, ok
from appliance.domain.content import ContentLabel
from appliance.domain.outcome import Disposition
from appliance.scanning.result import EngineState, SignatureSource
from appliance.scanning.sandbox import UNSANDBOXED
from appliance.scanning.scanner import Scanner, ScannerError

PROBE_SECONDS = 60.0
MAX_SAID = 64 << 20

_USER_NAMESPACES = Path("/proc/sys/user/max_user_namespaces")
_RESTRICTIONS = (
    (_USER_NAMESPACES, "0", "user namespaces are off: `sysctl user.max_user_namespaces=15000`"),
    (Path("/proc/sys/kernel/unprivileged_userns_clone"), "0", "`sysctl kernel.unprivileged_userns_clone=1`"),
    (
        Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
        "1",
        "AppArmor keeps programs from user namespaces: give bwrap a profile that has `userns`",
    ),
)
# In two pieces, so that no scanner takes this module for the test file.
_EICAR = b"".join((rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$", rb"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"))
_ONLY_EICAR = EngineSettings(
    YaraSettings(enabled=False), HashlistSettings(enabled=False), ClamdSettings(), EicarSettings(enabled=True)
)


@dataclass(frozen=True, slots=True)
class Probed:
    """What came of it. sources, engines: of the signatures, where they were to be read."""

    findings: tuple[Finding, ...]
    sources: tuple[SignatureSource, ...] = ()
    engines: tuple[EngineState, ...] = field(default_factory=tuple)


async def probe(settings: Settings, whole: bool) -> Probed:
    """Start a worker, and have it look at the test file. whole: with all signatures, as the SVM would."""
    scanning = replace(settings.scanning, workers=1)
    engines = replace(settings.engines, eicar=EicarSettings(enabled=True)) if whole else _ONLY_EICAR
    try:
        scanner = await Scanner.start(scanning, engines)
    except ScannerError as error:
        if not whole:
            return Probed((amiss("sandbox", f"{error}{restrictions()}"),))
        alone = await probe(settings, whole=False)
        if any(finding.good is False for finding in alone.findings):
            return alone
        return Probed((*alone.findings, amiss("signatures", f"{error}; see `svm signatures test`")))
    try:
        sources, states = tuple(scanner.sources()), tuple(scanner.states())
        return Probed((*_walls(scanning.sandbox, scanner.filtered), await _scan(scanner)), sources, states)
    finally:
        await scanner.close()


def probe_as_owner(settings: Settings, config: Path | None, whole: bool, owner: os.stat_result) -> Probed:
    """The same, as the user to whom the state directory belongs, which is who the SVM runs as.

    Only root can take another's place; others probe as themselves. config: the file of the settings.
    """
    if os.geteuid() != 0 or owner.st_uid == 0:
        return asyncio.run(probe(settings, whole))
    who = f"user {owner.st_uid}"
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "appliance.doctor", *(["whole"] if whole else [])],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **_named(config)},
            cwd="/",
            user=owner.st_uid,
            group=owner.st_gid,
            extra_groups=_groups(owner),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=10 * PROBE_SECONDS,
            check=False,
        )
        return probed_from(ran.stdout[:MAX_SAID])
    except subprocess.TimeoutExpired:
        return Probed((amiss("sandbox", f"tried as {who}, a worker did not come up: see the system's log"),))
    except (OSError, ValueError) as error:
        why = str(error) if isinstance(error, OSError) else _last_line(ran.stderr)
        return Probed((amiss("sandbox", f"it cannot be tried as {who}, who runs the SVM: {why}"),))


def as_json(probed: Probed) -> str:
    """What `probed_from` reads."""
    return json.dumps(asdict(probed))


def probed_from(said: bytes) -> Probed:
    """Read what a probe in another process came to. Raises ValueError."""
    try:
        read: Mapping[str, Sequence[Mapping[str, object]]] = json.loads(said)
        findings = tuple(Finding(**each) for each in read["findings"])  # type: ignore[arg-type]
        sources = tuple(
            SignatureSource(**{**each, "problems": tuple(each["problems"])})  # type: ignore[arg-type]
            for each in read["sources"]
        )
        engines = tuple(EngineState(**each) for each in read["engines"])  # type: ignore[arg-type]
    except (KeyError, TypeError) as error:
        raise ValueError(str(error)) from error
    return Probed(findings, sources, engines)


def restrictions(files: Sequence[tuple[Path, str, str]] = _RESTRICTIONS) -> str:
    """What of this machine's settings may keep a sandbox from being made, as the end of a sentence."""
    found = []
    for path, value, remedy in files:
        try:
            if path.read_text().strip() == value:
                found.append(remedy)
        except OSError:
            continue
    return "".join(f"; {remedy}" for remedy in found)


def _walls(setting: str, filtered: bool) -> tuple[Finding, ...]:
    if setting == UNSANDBOXED:
        return (
            note(
                "sandbox", "NONE, as scanning.sandbox says: a file that breaks an engine has the SVM's rights"
            ),
        )
    who = f"user {os.geteuid()}"
    walls = ok("sandbox", f"bubblewrap and user namespaces work for {who}: a worker came up in it")
    if filtered:
        return walls, ok("seccomp", "a worker's system calls are filtered")
    return walls, amiss(
        "seccomp", "this kernel filters no system calls: workers lack that wall; use one with seccomp"
    )


async def _scan(scanner: Scanner) -> Finding:
    fd = os.memfd_create("probe")
    try:
        os.write(fd, _EICAR)
        label = ContentLabel(hashlib.sha256(_EICAR).digest(), len(_EICAR))
        result = await asyncio.wait_for(scanner.scan(fd, label), PROBE_SECONDS)
    except TimeoutError:
        return amiss(
            "worker", f"it did not look at the test file within {PROBE_SECONDS:g} s: see the system's log"
        )
    finally:
        os.close(fd)
    if any(found.disposition is Disposition.MALICIOUS for found in result.detections):
        return ok("worker", "it detects the test file")
    why = result.no_answer.reason if result.no_answer is not None else "nothing was detected"
    return amiss("worker", f"it does not detect the test file ({why}): see `svm signatures test`")


def _named(config: Path | None) -> dict[str, str]:
    return {} if config is None else {CONFIG_VARIABLE: os.path.abspath(config)}


def _groups(owner: os.stat_result) -> list[int]:
    """The groups that a service of that user has."""
    try:
        return os.getgrouplist(pwd.getpwuid(owner.st_uid).pw_name, owner.st_gid)
    except KeyError:
        return []


def _last_line(said: bytes) -> str:
    return (said.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"])[-1][:400]
