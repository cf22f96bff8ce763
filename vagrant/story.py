"""What the lab shows, part by part, each on contents of its own, so that it can be told again and again."""

import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from vagrant.machines import Machine, StoryError, Vagrant, until

PLACE = "/srv/lab"
SHARED_BYTES = 8 << 20
DENIED = "Operation not permitted"
KSN_THREAT = "Lab.KsnOnly"
# Composed, so that this file is not one that scanners stumble over.
_EICAR = "".join(("X5O!P%@AP[4\\PZX54(P^)7CC)7}$", "EICAR-STANDARD-", "ANTIVIRUS-TEST-FILE!$H+H*"))
_MARK_BITS = 32  # the rule of EICAR's file allows white space behind it, 128 bytes in all
# What a guest's stub has yet to ask about, of what it let through without an SVM.
_JOURNAL = "cd /var/lib/kvm-light-agent/stub; cat journal journal.replaying 2>/dev/null | head -c 1"
_PRIVATE_KSN = "private-ksn {} --config /etc/private-ksn/private-ksn.toml"


def eicar(mark: int) -> str:
    """EICAR's test file, with a number behind it in blanks and tabs: its content is of one run alone."""
    return _EICAR + "".join(" \t"[mark >> bit & 1] for bit in range(_MARK_BITS))


@dataclass
class Lab:
    """The machines, and what was put on them. blocked: EICAR's file on both."""

    vagrant: Vagrant
    svm: Machine
    guests: list[Machine]
    run: str = field(default_factory=lambda: secrets.token_hex(4))
    contents: dict[str, bytes] = field(default_factory=dict)

    def path(self, name: str) -> str:
        """Where a file of this run is, on whichever guest."""
        return f"{PLACE}/{self.run}-{name}"

    def write(self, guest: Machine, name: str, text: str) -> str:
        """Write a file on a guest; its digest."""
        guest.ok(f"mkdir -p {PLACE}; printf '%b' '{_octal(text)}' >{self.path(name)}")
        return hashlib.sha256(text.encode()).hexdigest()

    def opens(self, guest: Machine, name: str) -> bool:
        """Whether root can read a file on a guest. Raises StoryError for a failure of another kind."""
        ran = guest.run(f"cat {self.path(name)} >/dev/null")
        if ran.code and DENIED not in ran.err:
            raise StoryError(
                f"{guest.name}: {self.path(name)} cannot be read, and not for a verdict: {ran.said}"
            )
        return not ran.code

    def figure(self, name: str) -> int:
        """A figure of the SVM. Those of how scans ended are there from the first that ended so on."""
        figures = self.svm.json("svm status --figures --json")["figures"]
        if name not in figures and not name.startswith("ends_"):
            raise StoryError(f"the SVM has no figure {name}")
        return int(figures.get(name, 0))

    def verdict(self, digest: str) -> dict[str, str]:
        """What the SVM keeps of a digest."""
        found: dict[str, str] = self.svm.json(f"svm verdicts show {digest} --json")["verdict"] or {}
        return found

    def attached(self) -> bool:
        """Whether the daemons of both guests are."""
        ran = self.svm.run("svm guests list --json")
        if ran.code:
            return False
        return sum(bool(each["attached"]) for each in json.loads(ran.out)) >= len(self.guests)


def _octal(text: str) -> str:
    return "".join(f"\\0{byte:03o}" for byte in text.encode())


def ready(lab: Lab) -> str:
    """The SVM answers, and both guests are attached to it."""
    until(lambda: lab.svm.run("svm status").code == 0, "the SVM answers")
    until(lab.attached, "both guests are attached")
    for guest in lab.guests:
        until(partial(_settled, guest), f"{guest.name}: its journal is replayed")
    asked = lab.figure("protection_digests")
    return f"both guests are attached, and have asked about what they opened before ({asked:,} digests)"


def _settled(guest: Machine) -> bool:
    return not guest.ok(_JOURNAL)


def scanned_once(lab: Lab) -> str:
    """The same file on both guests: its bytes come once."""
    before = lab.figure("protection_content_bytes")
    make = f"import random,sys; sys.stdout.buffer.write(random.Random('{lab.run}').randbytes({SHARED_BYTES}))"
    digests = set()
    for guest in lab.guests:
        guest.ok(f'mkdir -p {PLACE}; python3 -c "{make}" >{lab.path("shared")}')
        if not lab.opens(guest, "shared"):
            raise StoryError(f"{guest.name}: a harmless file cannot be opened")
        digests.add(guest.ok(f"sha256sum <{lab.path('shared')}").split()[0])
    if len(digests) != 1:
        raise StoryError(f"the files differ: {digests}")
    digest = digests.pop()
    _held_by_both(lab, digest)
    came = lab.figure("protection_content_bytes") - before
    if not SHARED_BYTES <= came < 2 * SHARED_BYTES:
        raise StoryError(f"{came:,} bytes came for a file of {SHARED_BYTES:,} bytes on two guests")
    outcome = lab.verdict(digest).get("outcome")
    return f"{SHARED_BYTES:,} bytes on each of two guests: {came:,} bytes came, {outcome}, held by both"


def _held_by_both(lab: Lab, digest: str) -> None:
    def held() -> bool:
        return len(lab.svm.json(f"svm verdicts exposure {digest} --json")["holders"]) == len(lab.guests)

    until(held, f"both guests are known to hold {digest[:16]}")


def eicar_blocked(lab: Lab) -> str:
    """What guest 1 brought is denied in guest 2 as it is opened, without another scan."""
    first, second = lab.guests
    text = eicar(int(lab.run, 16))
    before = lab.figure("ends_malicious")
    digest = lab.write(first, "eicar", text)
    if lab.opens(first, "eicar"):
        raise StoryError(f"{first.name}: EICAR's file could be opened")
    found = lab.verdict(digest)
    if found.get("outcome") != "MALICIOUS":
        raise StoryError(f"the SVM keeps of it: {found}")
    after_first = lab.figure("ends_malicious") - before
    lab.write(second, "eicar", text)
    if lab.opens(second, "eicar"):
        raise StoryError(f"{second.name}: EICAR's file could be opened, which {first.name} had brought")
    scans = lab.figure("ends_malicious") - before
    if (after_first, scans) != (1, 1):
        raise StoryError(f"it was scanned {after_first} times for {first.name}, {scans} times for both")
    return f"{found['threat']} scanned once, for {first.name}; EPERM in {second.name} by that verdict"


def journal_replayed(lab: Lab) -> str:
    """What was let through while the SVM was off is found when it is back, without that anybody opens it."""
    guest = lab.guests[1]
    lab.svm.hang_up()
    lab.vagrant.run("halt", lab.svm.name)
    lab.write(guest, "meanwhile", eicar(~int(lab.run, 16)))
    if not lab.opens(guest, "meanwhile"):
        raise StoryError(f"{guest.name}: without an SVM the fail mode is to allow, and it was denied")
    lab.vagrant.run("up", "--no-provision", lab.svm.name)
    ready(lab)
    path = lab.path("meanwhile")

    def found() -> bool:
        return f"found {path}" in guest.run("journalctl -u guest-stub --no-pager -o cat").out

    until(found, f"{guest.name}: {path} is found by the replay")
    if lab.opens(guest, "meanwhile"):
        raise StoryError(f"{guest.name}: {path} was found, and could be opened")
    return f"opened in {guest.name} while the SVM was off, found by the replay when it was back, denied since"


def revoked(lab: Lab) -> str:
    """A verdict that counts no more reaches both guests: of a harmless file, and of a malicious one."""
    shared = lab.guests[0].ok(f"sha256sum <{lab.path('shared')}").split()[0]
    malicious = hashlib.sha256(eicar(int(lab.run, 16)).encode()).hexdigest()
    for name, digest, word in (("shared", shared, "--block"), ("eicar", malicious, "--allow")):
        expected = word == "--allow"
        lab.svm.ok(f"svm verdicts set {digest} {word} --reason 'the lab test'")
        _both(lab, name, expected, f"after `svm verdicts set {word}`")
        lab.svm.ok(f"svm verdicts clear {digest} --reason 'the lab test'")
        _both(lab, name, not expected, "after `svm verdicts clear`")
    return "a harmless file: blocked, cleared; EICAR: allowed, cleared; each time both guests followed"


def _both(lab: Lab, name: str, opens: bool, when: str) -> None:
    for guest in lab.guests:
        what = "opens" if opens else "is denied"
        until(partial(_is, lab, guest, name, opens), f"{guest.name}: {lab.path(name)} {what} {when}")


def _is(lab: Lab, guest: Machine, name: str, opens: bool) -> bool:
    return lab.opens(guest, name) is opens


def ksn_only(lab: Lab) -> str:
    """What no engine knows and a Private KSN in the SVM does is denied."""
    text = f"#!/bin/sh\n# {lab.run}: nothing that an engine objects to\n"
    digest = hashlib.sha256(text.encode()).hexdigest()
    as_svm = "setpriv --reuid svm --regid svm --clear-groups"
    words = _PRIVATE_KSN.format(f"set {digest} --zone red --threat {KSN_THREAT}")
    lab.svm.ok(f"{as_svm} {words}")
    guest = lab.guests[0]
    lab.write(guest, "ksn", text)
    if lab.opens(guest, "ksn"):
        raise StoryError(f"{guest.name}: a file that the Private KSN has in its red zone could be opened")
    found = lab.verdict(digest)
    if (found.get("threat"), found.get("source"), found.get("engine")) != (KSN_THREAT, "KSN", "ksn"):
        raise StoryError(f"the SVM keeps of it: {found}")
    return f"{found['threat']}: denied in {guest.name}; it is a verdict of {found['source']}, of no engine"


PARTS: list[tuple[str, Callable[[Lab], str]]] = [
    ("ready", ready),
    ("the same file is scanned once", scanned_once),
    ("EICAR is blocked in guest 2 because guest 1 brought it", eicar_blocked),
    ("SVM stopped and started, journal replayed", journal_replayed),
    ("a revoked verdict reaches both", revoked),
    ("a detection by KSN alone", ksn_only),
]
