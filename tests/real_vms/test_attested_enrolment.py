"""Attested enrolment: a real libvirtd and QEMU, guests with a real stub, a real SVM beside them.

All are emulated, which is slow: every wait is long, and is over as soon as what it is for has happened.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.support.attesting import HOST, PORT, Attesting, Machine, attesting
from tests.support.vm_images import guest_image

DEADLINE = 420.0

Found = TypeVar("Found")

# Asks on the port as a stub does, for a key of whoever runs it, and prints what is answered.
_ASK = """
import json, os, select, sys
fd = os.open(sys.argv[1], os.O_RDWR)
asked = {"version": 1, "nonce": "0" * 32, "key_sha256": sys.argv[2]}
os.write(fd, b"\\n" + json.dumps(asked).encode() + b"\\n")
held = b""
while b"\\n" not in held:
    if not select.select([fd], [], [], 120)[0]:
        sys.exit("no answer")
    held += os.read(fd, 4096)
print(held.decode())
"""


@pytest.fixture(scope="module")
def place() -> Iterator[Attesting]:
    """A host with an SVM, and nothing on it yet."""
    directory = Path(tempfile.mkdtemp(prefix="kh", dir="/tmp"))
    try:
        with attesting(directory) as running:
            yield running
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def until(found: Callable[[], Found], what: str) -> Found:
    """What is found at last."""
    end = time.monotonic() + DEADLINE
    while not (there := found()):
        assert time.monotonic() < end, f"{what}: not within {DEADLINE:g} s"
        time.sleep(0.5)
    return there


def devices(place: Attesting, name: str, *words: str) -> int:
    """How often the channel stands in a machine, as it is or (--inactive) is defined."""
    return place.host.virsh("dumpxml", name, *words).count(f"name='{PORT}'")


def test_a_channel_is_plugged_into_what_runs_and_into_its_definition(place: Attesting) -> None:
    """It comes back with the next start; by order it is taken away again."""
    place.define("plain", devices="<controller type='virtio-serial'/>")
    place.host.virsh("start", "plain")
    ran = place.svm_host("enrol", "plain", "--wait", "1")
    assert ran.returncode == 1, ran.stderr
    assert ran.stdout.splitlines()[0] == "plain got its channel; waiting for it to ask"
    assert (devices(place, "plain"), devices(place, "plain", "--inactive")) == (1, 1)
    assert (
        "<source"
        not in place.host.virsh("dumpxml", "plain", "--inactive").split("<channel")[1].split("</ch")[0]
    )
    place.host.kill_libvirtd()
    place.host.start_libvirtd()
    assert place.svm_host("enrol", "plain", "--wait", "1").stdout.startswith("plain has its channel; waiting")
    place.host.virsh("destroy", "plain")
    said = place.svm_host("enrol", "plain").stdout
    assert said == "plain has its channel, and does not run: it can enrol when it does\n"
    place.host.virsh("start", "plain")
    assert devices(place, "plain") == 1
    assert place.svm_host("enrol", "plain", "--remove").returncode == 0
    assert (devices(place, "plain"), devices(place, "plain", "--inactive")) == (0, 0)
    assert place.svm_host("enrol", "plain", "--remove").returncode == 1
    place.host.virsh("destroy", "plain")


def test_without_a_controller_the_next_start_has_it(place: Attesting) -> None:
    """None can be plugged into what runs: the sentence says so, and the definition is as it says."""
    place.define("bare")
    place.host.virsh("start", "bare")
    ran = place.svm_host("enrol", "bare", "--wait", "1")
    assert ran.returncode == 2
    assert "runs without a virtio-serial controller, which cannot be plugged: it has one" in ran.stderr
    place.host.virsh("destroy", "bare")
    place.host.virsh("start", "bare")
    assert place.svm_host("enrol", "bare", "--wait", "1").stdout.startswith("bare has its channel; waiting")
    place.host.virsh("destroy", "bare")


@pytest.fixture(scope="module")
def guests(place: Attesting) -> list[Machine]:
    """Two machines that are off; one of them is left out by its name."""
    image = guest_image()
    return [place.define(name, image) for name in ("web-1", "left-out")]


def test_new_machines_enrol_by_themselves(place: Attesting, guests: list[Machine]) -> None:
    """Nothing is typed in the guest, and it is who its host says; who is left out is left alone."""
    web, left_out = guests
    with place.serving() as agent:
        until(lambda: devices(place, "web-1", "--inactive"), "a channel for its first start")
        for machine in guests:
            place.host.virsh("start", machine.name)
        place.host.kill_libvirtd()
        place.host.start_libvirtd()
        until(lambda: _attached(place, web), f"web-1 attached; the agent said: {agent.log}")
    assert web.identity()["guest"] == web.uuid
    assert "kvmla1_" not in agent.log
    left_out.shell.wait()
    assert left_out.identity() == {}
    assert devices(place, "left-out") == 0
    events = place.svm("events")
    assert [event["guest"] for event in events if event["text"].startswith("enrolled")] == [web.uuid]


def test_a_token_taken_to_another_machine_is_refused(place: Attesting, guests: list[Machine]) -> None:
    """As is another key of its own machine: it is for the key of who has asked, and neither has that.

    That the same token is taken with that key, afterwards too, is shown by test_tokens of attest.
    """
    web, other = guests
    uuid = _let_in_again(place, web)
    web.shell.ok("systemctl", "stop", "guest-stub")
    stolen = _handed_out(place, web, "ab" * 32)
    assert stolen["guest"] == uuid
    words = (
        "enrol",
        "--svm",
        stolen["svm"],
        "--ca-fingerprint",
        stolen["ca_fingerprint"],
        "--token",
        stolen["token"],
    )
    for machine in (other, web):
        ran = machine.shell.run("guest-stub", *words)
        assert ran.code == 2
        assert "the SVM does not take the token" in ran.err
    web.shell.ok("systemctl", "start", "guest-stub")
    assert other.identity() == {}


def _attached(place: Attesting, machine: Machine) -> bool:
    return any(each["guest"] == machine.uuid and each["attached"] for each in place.svm("guests", "list"))


def _let_in_again(place: Attesting, machine: Machine) -> str:
    """Have the SVM forget it, so that its host can enrol it again."""
    place.svm_order("guests", "remove", machine.uuid)
    return machine.uuid


def _handed_out(place: Attesting, machine: Machine, key: str) -> dict[str, Any]:
    """What the host hands out to a program in the machine."""
    with place.serving():
        said: dict[str, Any] = json.loads(
            machine.shell.ok("python3", "-c", _ASK, f"/dev/virtio-ports/{PORT}", key, seconds=DEADLINE)
        )
    assert said["svm"] == f"{HOST}:7443"
    return said
