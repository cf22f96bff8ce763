"""Images are made, twice the same, and boot: an SVM serves and keeps its state, a guest protects itself."""

import hashlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.hypervisor.image.building import Wanted, Workshop
from appliance.hypervisor.image.lock import SHIPPED, ImageLock
from tests.support.kvm_host import KvmHost, kvm_host
from tests.support.seeds import GUESTS_MAC, HOST_MAC, make_seed
from tests.support.vm_images import VmImage, cache_directory, guest_image, lock_in_use, svm_image
from tests.support.vm_shell import BOOT_SECONDS, CHANNEL, VmShell

_NETWORK = "<network><name>{name}</name><bridge name='{name}'/></network>"


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory with a short path."""
    directory = Path(tempfile.mkdtemp(prefix="kh", dir="/tmp"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def host(place: Path) -> Iterator[KvmHost]:
    """A host with two networks that lead nowhere."""
    with kvm_host(place / "h") as found:
        for name in ("guests", "host"):
            (place / f"{name}.xml").write_text(_NETWORK.format(name=name))
            found.virsh("net-define", place / f"{name}.xml")
            found.virsh("net-start", name)
        yield found


def domain(name: str, image: VmImage, place: Path, mib: int, devices: str = "") -> Path:
    """The definition of a machine."""
    image.overlay(place / f"{name}.qcow2")
    file = place / f"{name}.xml"
    file.write_text(
        f"""<domain type='qemu'><name>{name}</name><memory unit='MiB'>{mib}</memory><vcpu>2</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type><kernel>{image.kernel}</kernel>
<initrd>{image.initrd}</initrd><cmdline>{image.append}</cmdline></os>
<features><acpi/><apic/><tcg><tb-cache unit='MiB'>128</tb-cache></tcg></features>
<cpu mode='custom' match='exact' check='none'><model>Nehalem</model></cpu><devices>
{disk(place / f"{name}.qcow2", "qcow2", "vda", "system")}{devices}
<serial type='file'><source path='{place}/{name}.log' append='on'/></serial>
<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
{CHANNEL.format(path=place / f"{name}.sock")}<memballoon model='none'/></devices></domain>"""
    )
    return file


def disk(file: Path, kind: str, target: str, serial: str, more: str = "") -> str:
    """One of a machine."""
    return (
        f"<disk type='file' device='disk'><driver name='qemu' type='{kind}' cache='unsafe'/>"
        f"<source file='{file}'/><target dev='{target}' bus='virtio'/>{more}<serial>{serial}</serial></disk>"
    )


def card(network: str, mac: str) -> str:
    """One of a machine."""
    return (
        f"<interface type='network'><mac address='{mac}'/><source network='{network}'/>"
        "<model type='virtio'/></interface>"
    )


def wait_for(file: Path, word: str, times: int = 1) -> None:
    """Return when a log has a word so many times."""
    end = time.monotonic() + BOOT_SECONDS
    while not file.exists() or file.read_text(errors="replace").count(word) < times:
        said = file.read_text(errors="replace")[-3000:] if file.exists() else ""
        assert time.monotonic() < end, f"{word!r} did not come within {BOOT_SECONDS:g} s:\n{said}"
        time.sleep(0.2)


def look_at_packet_filter(shell: VmShell) -> None:
    """It was there before the doors opened, by the settings of the seed; the doctor says so."""
    assert "ip daddr 10.113.0.2 tcp dport 7443 " in shell.ok("nft", "list", "table", "inet", "kvmla")
    ready = shell.ok("systemctl", "show", "-P", "ActiveEnterTimestampMonotonic", "svm-packet-filter")
    opened = shell.ok("systemctl", "show", "-P", "ExecMainStartTimestampMonotonic", "svm")
    assert 0 < int(ready) < int(opened)
    doctor = shell.run("svm", "doctor", "--config", "/etc/kvm-light-agent/svm.toml", seconds=BOOT_SECONDS)
    assert "ok     packet filter: guards the doors; nothing had to be dropped" in doctor.out


def test_an_svm_serves_and_keeps_its_state(host: KvmHost, place: Path) -> None:
    """From a blank state disk; after its power was cut it is the same SVM; the power button stops it."""
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", place / "state.qcow2", "2G"], check=True)
    devices = (
        disk(place / "state.qcow2", "qcow2", "vdb", "svm-state")
        + disk(make_seed(place / "seed.iso"), "raw", "vdc", "svm-seed", "<readonly/>")
        + card("guests", GUESTS_MAC)
        + card("host", HOST_MAC)
        + "<watchdog model='i6300esb' action='reset'/>"
    )
    host.virsh("define", domain("svm", svm_image(), place, 1024, devices))
    host.virsh("start", "svm")
    log, shell = place / "svm.log", VmShell(place / "svm.sock")
    wait_for(log, '"event": "serving"')
    assert "kvmla-first-boot: ready" in log.read_text(errors="replace")
    shell.wait()
    assert '"listen": "tcp:10.113.0.2:7443"' in log.read_text(errors="replace")
    assert '"workers_ready": 1.0' in shell.ok("svm", "status", "--json")
    assert shell.ok("stat", "-c", "%U %a", "/var/lib/kvm-light-agent").strip() == "svm 700"
    assert "RuntimeWatchdogUSec=1min" in shell.ok("systemctl", "show", "-p", "RuntimeWatchdogUSec")
    assert "i6300ESB" in shell.ok("cat", "/sys/class/watchdog/watchdog0/identity")
    look_at_packet_filter(shell)
    before = shell.ok("sha256sum", "/var/lib/kvm-light-agent/identity/ca.pem")

    host.virsh("destroy", "svm")
    host.virsh("start", "svm")
    wait_for(log, '"event": "serving"', times=2)
    shell.wait()
    assert shell.ok("sha256sum", "/var/lib/kvm-light-agent/identity/ca.pem") == before
    assert "tcp dport 7443 " in shell.ok("nft", "list", "table", "inet", "kvmla")

    host.virsh("shutdown", "svm", "--mode", "acpi")
    end = time.monotonic() + BOOT_SECONDS
    while "shut off" not in host.virsh("domstate", "svm"):
        assert time.monotonic() < end, "the power button did nothing"
        time.sleep(0.2)


def test_a_guest_protects_itself(host: KvmHost, place: Path) -> None:
    """Its stub runs, by its unit, before anybody logs in; nobody's key of ssh is in the image."""
    image = guest_image()
    host.virsh("define", domain("guest", image, place, 512))
    host.virsh("start", "guest")
    shell = VmShell(place / "guest.sock")
    shell.wait()
    end = time.monotonic() + BOOT_SECONDS
    while (state := shell.run("systemctl", "is-active", "guest-stub", "ssh").out.split()) != ["active"] * 2:
        assert time.monotonic() < end, f"guest-stub and ssh are {state}"
        time.sleep(0.5)
    assert shell.ok("guest-stub", "--version").startswith("guest-stub ")
    assert "ssh_host_ed25519_key" in shell.ok("ls", "/etc/ssh")
    host.virsh("destroy", "guest")


def test_the_same_lock_gives_the_same_bytes(tmp_path: Path) -> None:
    """Of the root file system, the kernel and what finds the one for the other."""
    guest_image()
    lock = ImageLock.load(lock_in_use(SHIPPED))
    workshop = Workshop(lock, cache_directory(), say=lambda sentence: None)
    digests = set()
    for name in "ab":
        made = workshop.direct(Wanted("guest"), tmp_path / name)
        files = (made.kernel, made.initrd, made.root)
        digests.add(tuple(hashlib.sha256(file.read_bytes()).hexdigest() for file in files))
        shutil.rmtree(tmp_path / name)
    assert len(digests) == 1
