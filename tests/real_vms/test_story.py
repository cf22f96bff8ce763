"""The whole story on one host: a deployed SVM, and three clones of a golden image that enrol by themselves.

A real libvirtd and QEMU (tests/support/kvm_host), all of it emulated. The tests are its steps and build on
each other, in this order; where one fails the others say so. Each tells a line while it goes on.
"""

import hashlib
import json
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.contents import EICAR
from tests.support.telling import Telling, until
from tests.support.token_search import tokens_below, tokens_of
from tests.support.vm_images import VmImage, guest_image, svm_image
from tests.support.vm_shell import Ran, VmShell
from tests.support.vm_site import GUESTS_ADDRESS, OFFICE, SVM, Clone, Site, attached, plugged, vm_site

NEW_BYTES = 4 << 20
SCANNED = "/usr/bin"
DENIED = "Operation not permitted"
_REACHES = f"import socket; socket.create_connection(('{GUESTS_ADDRESS}', 7443), 60)"
# What a guest's stub has yet to ask about, of what it let through without an SVM.
_JOURNAL = "cd /var/lib/kvm-light-agent/stub; cat journal journal.replaying 2>/dev/null | head -c 1"
# In the SVM: what it has verdicts of. Those of a seeded image are everybody's; a content that a guest sent
# has one of the guest's tenant.
_STATE = "/var/lib/kvm-light-agent"
_VERDICTS = f"""
import json, pathlib
from appliance.domain.guest import PUBLIC_SCOPE
from appliance.verdicts.environment import CACHE, open_for_reading
[cache] = pathlib.Path("{_STATE}").rglob(CACHE.name)
env, verdicts = open_for_reading(cache.parent, CACHE)
with env.begin(db=verdicts) as txn:
    keys = [bytes(key) for key, _ in txn.cursor()]
public = {{key[4:] for key in keys if int.from_bytes(key[:4], "big") == PUBLIC_SCOPE}}
sent = {{key[4:] for key in keys if int.from_bytes(key[:4], "big") != PUBLIC_SCOPE}}
again = [digest.hex() for digest in sent & public]
print(json.dumps({{"public": len(public), "sent": len(sent), "again": again}}))
"""
_PLANTED = b"kvmla1_" + b"A" * 43  # has the form of a token, and is none


def eicar(mark: int) -> bytes:
    """EICAR's test file with so many blanks behind it: a content of its own, up to 60."""
    return EICAR + b" " * mark


@dataclass
class Story(Telling):
    """site: the host. golden: what guests are clones of. seeded: figures of the SVM when that was scanned."""

    site: Site = field(kw_only=True)
    golden: VmImage = field(kw_only=True)
    guests: list[Clone] = field(default_factory=list)
    seeded: dict[str, int] = field(default_factory=dict, repr=False)

    @cached_property
    def svm_shell(self) -> VmShell:
        """A root shell in the SVM, until its power is cut."""
        shell = self.site.into_svm()
        shell.wait()
        return shell

    def all(self, do: Callable[[Clone], Any]) -> list[Any]:
        """Do the same with all guests at once; what came of it."""
        with ThreadPoolExecutor(len(self.guests)) as pool:
            return list(pool.map(do, self.guests))

    def opens(self, guest: Clone, path: str) -> bool:
        """Whether root can read a file in a guest; it has to be there."""
        ran: Ran = guest.shell.run("cat", path)
        assert not ran.code or DENIED in ran.err, f"{guest.name}: {path} cannot be read: {ran.err}"
        return not ran.code

    def until_attached(self, when: str) -> None:
        """Return when all guests are, and have asked about what they let through before."""
        until(lambda: attached(self.site, self.guests), f"three guests are attached {when}")
        for guest in self.guests:
            until(partial(_settled, guest), f"{guest.name}: its journal is replayed {when}")

    def until_svm(self, started: str) -> str:
        """Return when it answers and was started anew; when it was. started: when it was before."""
        found = ""

        def anew() -> bool:
            nonlocal found
            ran = self.site.ask("status", "--json")
            found = json.loads(ran.stdout)["started"] if ran.returncode == 0 else ""
            return bool(found) and found != started

        until(anew, "the SVM answers again")
        return found


def _settled(guest: Clone) -> bool:
    return not guest.shell.ok("sh", "-c", _JOURNAL)


@pytest.fixture(scope="module")
def story(request: pytest.FixtureRequest) -> Iterator[Story]:
    """A host with nothing on it; both images are there."""
    plugins = request.config.pluginmanager
    terminal, capturing = plugins.get_plugin("terminalreporter"), plugins.get_plugin("capturemanager")
    assert isinstance(terminal, pytest.TerminalReporter)
    directory = Path(tempfile.mkdtemp(prefix="kh", dir="/tmp"))
    site: Site | None = None

    def say(line: str) -> None:
        with capturing.global_and_fixture_disabled() if capturing else nullcontext():
            terminal.ensure_newline()
            terminal.write_line(line)
            terminal.flush()

    def last_words() -> str:
        texts = [f"SVM's console:\n{site.console()}"] if site else []
        logs = (directory / "serve.log", *directory.glob("clone-*/console"))
        for log in filter(Path.exists, logs):
            texts += [f"{log.parent.name}/{log.name}:", log.read_text(errors="replace")[-1500:]]
        return "\n".join(texts)

    images = Telling(say)
    try:
        with images.step("images of SVM and guest, made or taken from the cache"):
            made, golden = svm_image(), guest_image()
        with vm_site(directory, made) as site:
            site.office()
            yield Story(say, last_words, images.began, site=site, golden=golden)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def agent(story: Story) -> Iterator[Path]:
    """`svm-host serve` on that host, from the first test that asks for it on; its log."""
    with story.site.serving() as log:
        yield log


def test_the_svm_is_deployed(story: Story) -> None:
    """By one command, booted directly; the host agent and the administrator have their certificates then."""
    with story.step("svm-host deploy") as seen:
        said = story.site.svm_host("deploy", *story.site.system)
        assert f"{SVM} is deployed and answers on {GUESTS_ADDRESS}" in said
        assert "sandbox     in force" in story.site.svm("status")
        story.site.svm("status", identity="agent")
        seen.append("it answers, its sandbox is in force")


def test_a_golden_image_is_seeded(story: Story) -> None:
    """It is scanned powered off, before a clone of it boots: all its contents are known then."""
    with story.step("svm-host scan-image --seed of the golden image") as seen:
        disk = story.golden.overlay(story.site.directory / "golden.qcow2")
        words = ("scan-image", disk, "--backing-anywhere", "--seed", "--json")
        report = json.loads(story.site.svm_host(*words))
        assert report["complete"]
        assert (report["malicious"], report["unanswered"]) == (0, 0)
        story.seeded = story.site.figures()
        assert story.seeded["protection_contents"] == report["sent"] > 1000
        seen.append(f"{report['files']:,} files, {report['sent_bytes']:,} bytes scanned")


def test_three_clones_enrol_by_themselves(story: Story, agent: Path) -> None:
    """Nothing is typed in any of them, and each is who its host says."""
    with story.step("three clones boot and enrol") as seen:
        story.guests = [story.site.clone(f"clone-{number}", story.golden) for number in (1, 2, 3)]
        for guest in story.guests:
            until(partial(plugged, story.site, guest), f"the host plugs a channel into {guest.name}")
            story.site.machine.virsh("start", guest.name)
        story.until_attached("for the first time")
        for guest in story.guests:
            found = story.site.guests()[guest.uuid]
            assert (found["machine"]["name"], found["machine"]["protection"]) == (guest.name, "protected")
            assert json.loads(guest.shell.ok("guest-stub", "identity", "--json"))["guest"] == guest.uuid
        assert "kvmla1_" not in agent.read_text()  # no token is in its log
        seen.append("attached, protected, each by its UUID")


def test_a_boot_storm_of_seeded_clones_uploads_nothing(story: Story) -> None:
    """What three clones open while they boot, and what they scan then, is asked by digest alone."""
    with story.step("boot storm, and a scan in all three") as seen:
        scans = story.all(lambda guest: _summary(guest.shell.ok("guest-stub", "scan", SCANNED, "--json")))
        assert all(scan["complete"] and scan["files"] > 100 for scan in scans), scans
        assert [scan["bytes_sent"] for scan in scans] == [0, 0, 0]
        now = story.site.figures()
        names = ("protection_digests", "protection_contents")
        asked, came = (now[name] - story.seeded[name] for name in names)
        seeded = story.seeded["protection_contents"]
        # Some files are a machine's own: its id, what is below /run, the journal that it writes.
        assert asked > 600
        assert came < 20 * len(story.guests)
        kept = json.loads(story.svm_shell.ok("python3", "-c", _VERDICTS))
        assert kept["public"] >= seeded
        assert 0 < kept["sent"] <= story.site.figures()["protection_contents"] - seeded
        assert kept["again"] == []  # nothing that is on the golden image came from a clone
        files = scans[0]["files"]
        seen.append(
            f"{files} files scanned in each, no byte sent; {asked:,} digests asked since the seed, "
            f"{came} of them of files that a clone wrote itself, and sent; of the {kept['sent']} contents "
            f"that have a verdict none is among the {kept['public']:,} of the golden image"
        )


def _summary(said: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    assert found["type"] == "summary"
    return found


def test_no_token_is_on_any_disk(story: Story) -> None:
    """Of the guests, of the SVM, and of the host: but for those that are planted, to be found."""
    with story.step("a search for tokens on all disks") as seen:
        svm, state = story.svm_shell, f"{_STATE}/planted"
        for shell, path in ((svm, state), *((guest.shell, "/srv/planted") for guest in story.guests)):
            shell.write(path, _PLANTED)
            shell.ok("sync")
        found = {
            name: tokens_of(story.site.machine, name, story.site.directory)
            for name in (SVM, *(guest.name for guest in story.guests))
        }
        svm.ok("rm", state)
        guests = {guest.name: {"vda": {_PLANTED}} for guest in story.guests}
        assert found == {SVM: {"vda": set(), "vdb": {_PLANTED}, "vdc": set()}, **guests}
        host = story.site.directory
        disks = [host / "golden.qcow2", host / "h" / "lib" / "kvmla", *host.glob("clone-*/disk")]
        assert (host / "state" / "agent.json").exists()
        assert tokens_below(host, disks) == set()
        seen.append(f"none on {sum(map(len, found.values()))} disks, but those that were planted")


def test_a_new_file_on_three_guests_is_scanned_once(story: Story) -> None:
    """The dedupe figure: its bytes come once and are scanned once, for three who ask."""
    content = random.Random(6).randbytes(NEW_BYTES)
    digest = hashlib.sha256(content).hexdigest()
    make = f"import random, sys; sys.stdout.buffer.write(random.Random(6).randbytes({NEW_BYTES}))"
    with story.step("a new file on all three") as seen:
        before = story.site.figures()
        story.all(lambda guest: guest.shell.ok("sh", "-c", f'python3 -c "{make}" >/srv/new'))
        assert story.all(lambda guest: story.opens(guest, "/srv/new")) == [True] * 3
        until(lambda: _holders(story, digest) == 3, "three guests are known to hold it")
        now = story.site.figures()
        names = ("engine_bytes", "protection_content_bytes", "protection_digests")
        scanned, came, asked = (now[name] - before[name] for name in names)
        for figure in (scanned, came):
            assert NEW_BYTES <= figure < NEW_BYTES + 256 * 1024
        assert asked >= 3
        ratio = 3 * NEW_BYTES / scanned
        seen.append(f"3 x {NEW_BYTES:,} bytes: {came:,} came, {scanned:,} scanned, dedupe {ratio:.2f} : 1")


def _holders(story: Story, digest: str) -> int:
    return len(json.loads(story.site.svm("verdicts", "exposure", digest, "--json"))["holders"])


def test_what_one_guest_brought_is_denied_in_another(story: Story) -> None:
    """EICAR's file is scanned for guest 1, who may not open it; nor may guest 2, without another scan."""
    first, second, _ = story.guests
    with story.step("EICAR in guest 1, then in guest 2") as seen:
        before = story.site.figures().get("ends_malicious", 0)
        first.shell.write("/srv/eicar", eicar(1))
        assert not story.opens(first, "/srv/eicar"), f"{first.name} could open it"
        assert story.site.figures()["ends_malicious"] == before + 1
        second.shell.write("/srv/eicar", eicar(1))
        assert not story.opens(second, "/srv/eicar"), f"{second.name} could open it"
        assert story.site.figures()["ends_malicious"] == before + 1
        seen.append("EPERM in both, scanned once")


def test_an_svm_that_is_killed_is_back(story: Story) -> None:
    """SIGKILL of `svm serve`: it is started again; who its guests are and what it knew of files is kept."""
    with story.step("kill -9 of svm in the SVM") as seen:
        before = _kept(story)
        started = json.loads(story.site.svm("status", "--json"))["started"]
        story.svm_shell.ok("sh", "-c", 'kill -9 "$(systemctl show -p MainPID --value svm)"')
        story.until_svm(started)
        story.until_attached("after SIGKILL of svm")
        _nothing_is_lost(story, before)
        third = story.guests[2]
        third.shell.write("/srv/eicar", eicar(1))
        assert not story.opens(third, "/srv/eicar"), f"{third.name} could open it"
        assert story.site.figures().get("ends_malicious", 0) == 0
        seen.append(f"guests are attached again; {third.name} is denied EICAR by the verdict from before")


def test_an_svm_whose_power_was_cut_boots_and_catches_up(story: Story) -> None:
    """Guests go on without it; when it is back it knows them, and what was let through meanwhile is found."""
    second = story.guests[1]
    with story.step("power cut of the SVM, and its boot") as seen:
        before = _kept(story)
        started = json.loads(story.site.svm("status", "--json"))["started"]
        story.site.cut_power(SVM)
        until(lambda: "shut off" in story.site.machine.virsh("domstate", SVM), "the SVM is off")
        second.shell.write("/srv/meanwhile", eicar(2))
        assert story.opens(second, "/srv/meanwhile"), "without an SVM the fail mode is to allow"
        story.site.machine.virsh("start", SVM)
        story.until_svm(started)
        story.until_attached("after the power cut")
        _nothing_is_lost(story, before)
        until(lambda: _said(second, "found /srv/meanwhile"), "the replay finds what was let through")
        assert not story.opens(second, "/srv/meanwhile"), f"{second.name} could open it"
        seen.append("guests went on, are attached again; what was opened meanwhile is found and denied")


def _kept(story: Story) -> tuple[set[int], dict[str, str], bytes]:
    """What may not be lost: events, whose certificates are good, the authority."""
    events = {each["number"] for each in json.loads(story.site.svm("events", "--limit", 1000, "--json"))}
    guests = {uuid: each["certificate"] for uuid, each in story.site.guests().items()}
    return events, guests, (story.site.directory / "agent" / "ca.pem").read_bytes()


def _nothing_is_lost(story: Story, before: tuple[set[int], dict[str, str], bytes]) -> None:
    events, guests, authority = _kept(story)
    assert before[0] <= events
    assert (guests, authority) == before[1:]
    assert len(guests) == 3


def _said(guest: Clone, words: str) -> bool:
    journal = f"journalctl -u guest-stub --no-pager -o cat | grep -q -F '{words}'"
    return guest.shell.run("sh", "-c", journal).code == 0


def test_isolation_as_the_guest_sees_it(story: Story, agent: Path) -> None:
    """Its other network is dead, the SVM answers; released it is as it was."""
    guest = story.guests[0]
    with story.step("isolation of one guest, seen from inside") as seen:
        assert _office_answers(guest), "before"
        story.site.svm_host("isolate", guest.name, "--reason", "the story")
        until(lambda: not _office_answers(guest), "the network beside the protection network is dead")
        guest.shell.ok("python3", "-c", _REACHES)
        until(lambda: _told(story, guest, "vm-isolated"), "the SVM is told that it is isolated")
        assert attached(story.site, [guest])
        assert _office_answers(story.guests[1]), "another guest's network is dead too"
        assert not story.opens(guest, "/srv/eicar")
        story.site.svm_host("release", guest.name)
        until(lambda: _office_answers(guest), "its network is back")
        until(lambda: _told(story, guest, "vm-released"), "the SVM is told that it is released")
        seen.append(f"{OFFICE} was dead, {GUESTS_ADDRESS} answered; both answer after the release")


def _told(story: Story, guest: Clone, kind: str) -> bool:
    events = json.loads(story.site.svm("events", "--kind", kind, "--json"))
    return guest.uuid in [each["guest"] for each in events]


def _office_answers(guest: Clone) -> bool:
    return guest.shell.run("busybox", "ping", "-c", "1", "-W", "5", OFFICE).code == 0


@pytest.mark.parametrize("number", [0, 2], ids=["running", "powered-off"])
def test_a_file_is_found_on_a_disk_from_outside(story: Story, number: int) -> None:
    """By its path: of a guest that runs by a backup of this moment, and of one that is off."""
    guest = story.guests[number]
    power = "powered off" if number else "running"
    with story.step(f"svm-host scan-image of a guest that is {power}") as seen:
        guest.shell.ok("sync")
        if number:
            story.site.machine.virsh("destroy", guest.name)
        words = ("scan-image", guest.name, "--backing-anywhere", "--json")  # its disk lies on the golden one
        report = json.loads(story.site.svm_host(*words, good=(1,)))
        found = {each["path"]: each["threat"] for each in report["found"]}
        assert "Eicar" in found.get("/srv/eicar", ""), found
        assert report["complete"], report["problems"]
        assert report["files"] > 1000
        if not number:
            assert "running" in story.site.machine.virsh("domstate", guest.name)
        files, sent = report["files"], report["sent_bytes"]
        seen.append(f"/srv/eicar among {files:,} files; {sent:,} bytes sent, of what was not known")
