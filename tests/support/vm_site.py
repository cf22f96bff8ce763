"""A host of real machines with an SVM that `svm-host deploy` puts there, and guests: clones of one image."""

import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.kvm_host import KvmHost, kvm_host
from tests.support.vm_images import VmImage
from tests.support.vm_shell import CHANNEL, VmShell

ROOT = Path(__file__).parents[2]
SVM = "kvmla-svm"
GUESTS_ADDRESS, SERVER = "10.113.0.2", "10.113.1.2:7445"
OFFICE = "10.77.0.1"  # the host on the network that guests have beside the protection network
SECONDS = 900.0  # for an SVM under emulation, on a machine that others use

_SETTINGS = """
state_dir = "{directory}/state"
[svm]
server = "{server}"
identity = "{directory}/agent"
[enrolment]
automatic = true
[deploy]
type = "qemu"
memory_mib = 1024
vcpus = 2
state_gib = 1
pool_dir = "/var/lib/libvirt/kvmla"
wait_seconds = 800
administrator = "{directory}/administrator"
"""
_OFFICE = f"""<network><name>office</name><bridge name='office0'/>
<ip address='{OFFICE}' netmask='255.255.255.0'><dhcp><range start='10.77.0.10' end='10.77.0.99'/></dhcp></ip>
</network>"""
# What no test asks of a guest is not started: keys for ssh alone take seconds. Its stub is, as ever.
NOT_ASKED_FOR = (
    *("ssh.service", "systemd-user-sessions.service", "systemd-random-seed.service"),
    *("acpid.service", "acpid.path", "acpid.socket"),
)
_CLONE = """<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid>
<memory unit='MiB'>{size[0]}</memory><vcpu>{size[1]}</vcpu>
<features><acpi/><apic/><tcg><tb-cache unit='MiB'>128</tb-cache></tcg></features>
<os><type arch='x86_64' machine='q35'>hvm</type><kernel>{kernel}</kernel><initrd>{initrd}</initrd>
<cmdline>{append}</cmdline></os>
<cpu mode='custom'><model>Nehalem</model></cpu>
<devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='unsafe'/><source file='{place}/disk'/>
<target dev='vda' bus='virtio'/></disk>
<interface type='network'><source network='kvmla-protection'/><model type='virtio'/></interface>
<interface type='network'><source network='office'/><model type='virtio'/></interface>
<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
<serial type='file'><source path='{place}/console'/></serial>
{channel}<memballoon model='none'/>
</devices></domain>"""


@dataclass(frozen=True)
class Clone:
    """A guest. shell: a root shell in it, which needs no network. console: what it says there."""

    name: str
    uuid: str
    shell: VmShell
    console: Path


@dataclass
class Site:
    """A host of machines, where the programs run that are typed there. image: of the SVM."""

    machine: KvmHost
    directory: Path
    image: VmImage

    @property
    def system(self) -> tuple[object, ...]:
        """The words by which the SVM boots directly from its image."""
        return ("--kernel", self.image.kernel, "--initrd", self.image.initrd, "--root", self.image.root)

    @property
    def settings(self) -> Path:
        """Of the host agent."""
        return self.directory / "host.toml"

    def run(self, program: str, *words: object) -> subprocess.CompletedProcess[str]:
        """Run `svm-host` ("appliance.hypervisor") or `svm` ("appliance") on the host."""
        return self.machine.run(*_program(program, *words), seconds=SECONDS)

    def svm_host(self, *words: object, good: tuple[int, ...] = (0,)) -> str:
        """What `svm-host` says, which ends as it should."""
        ran = self.run("appliance.hypervisor", *words, "--config", self.settings)
        assert ran.returncode in good, f"svm-host {words}: {ran.stdout}{ran.stderr}{self.console()}"
        return ran.stdout

    def svm(self, *words: object, identity: str = "administrator") -> str:
        """What `svm` says of the SVM, to the holder of a certificate."""
        ran = self.ask(*words, identity=identity)
        assert ran.returncode == 0, f"svm {words}: {ran.stderr}"
        return ran.stdout

    def ask(self, *words: object, identity: str = "administrator") -> subprocess.CompletedProcess[str]:
        """The same where it may fail: the SVM may be down."""
        return self.run("appliance", *words, "--server", SERVER, "--identity", self.directory / identity)

    def figures(self) -> dict[str, int]:
        """The SVM's figures, since it was started last."""
        found = json.loads(self.svm("status", "--figures", "--json"))["figures"]
        return {name: int(value) for name, value in found.items()}

    def guests(self) -> dict[str, dict[str, Any]]:
        """What the SVM says of each guest, by its UUID; nothing while it does not answer."""
        ran = self.ask("guests", "list", "--json")
        found = json.loads(ran.stdout) if ran.returncode == 0 else []
        return {each["guest"]: each for each in found if each["certificate"]}  # the others are no guests

    def console(self, lines: int = 30) -> str:
        """What the SVM said last at its console."""
        log = f"tail -n {lines} /var/log/libvirt/qemu/{SVM}-console.log"
        return self.machine.run("sh", "-c", log).stdout

    def clone(
        self,
        name: str,
        image: VmImage,
        size: tuple[int, int] = (384, 1),
        masked: tuple[str, ...] = NOT_ASKED_FOR,
    ) -> Clone:
        """A guest that is off: a disk that is written over the image, a port in both networks.

        size: MiB of memory, and processors. masked: units that are not started.
        """
        place = self.directory / name
        place.mkdir()
        image.overlay(place / "disk")
        guest = Clone(name, str(uuid.uuid4()), VmShell(place / "sh"), place / "console")
        boots = {"kernel": image.kernel, "initrd": image.initrd}
        append = " ".join((image.append, *(f"systemd.mask={unit}" for unit in masked)))
        channel = CHANNEL.format(path=place / "sh")
        (place / "domain.xml").write_text(
            _CLONE.format(
                name=name, uuid=guest.uuid, place=place, channel=channel, append=append, size=size, **boots
            )
        )
        self.machine.virsh("define", place / "domain.xml")
        return guest

    def office(self) -> None:
        """Make the network that guests have beside the protection network."""
        (self.directory / "office.xml").write_text(_OFFICE)
        self.machine.virsh("net-create", self.directory / "office.xml")

    def into_svm(self) -> VmShell:
        """Plug a root shell into the SVM, which is deployed without one; it is gone with the next start."""
        file = self.directory / "into-svm.xml"
        file.write_text(CHANNEL.format(path=self.directory / "svm-sh"))
        self.machine.virsh("attach-device", SVM, file, "--live")
        return VmShell(self.directory / "svm-sh")

    def cut_power(self, name: str) -> None:
        """The machine's QEMU is killed as it is, by SIGKILL."""
        kill = 'kill -9 "$(cat "/run/libvirt/qemu/$1.pid")"'
        ran = self.machine.run("sh", "-c", kill, "sh", name)
        assert ran.returncode == 0, ran.stderr

    def up_for(self, name: str) -> float:
        """Seconds since a machine's QEMU was started."""
        age = 'ps -o etimes= -p "$(cat "/run/libvirt/qemu/$1.pid")"'
        return float(self.machine.run("sh", "-c", age, "sh", name).stdout)

    @contextmanager
    def serving(self) -> Iterator[Path]:
        """`svm-host serve`, for the length of a `with`; its log."""
        log = self.directory / "serve.log"
        with self.machine.running(log, *_program("appliance.hypervisor", "serve", "--config", self.settings)):
            yield log


def _program(name: str, *words: object) -> tuple[object, ...]:
    """What is typed on the host to run a program of this tree."""
    return ("env", f"PYTHONPATH={ROOT}:{ROOT}/protos", sys.executable, "-m", name, *words)


@contextmanager
def vm_site(directory: Path, image: VmImage) -> Iterator[Site]:
    """One with nothing on it. directory: with a short path. image: of its SVM."""
    with kvm_host(directory / "h") as machine:
        site = Site(machine, directory, image)
        site.settings.write_text(_SETTINGS.format(directory=directory, server=SERVER))
        os.chmod(site.settings, 0o600)
        yield site


def away_of(said: str) -> float:
    """For how many seconds the SVM did not answer, as `svm-host upgrade` says it."""
    found = re.search(r"is upgraded and answers; it did not for ([\d.]+) s", said)
    assert found, said
    return float(found[1])


def plugged(site: Site, guest: Clone) -> bool:
    """Whether the host has plugged the channel for its enrolment into a guest's definition."""
    return "org.kvm_light_agent.enrol.0" in site.machine.virsh("dumpxml", guest.name, "--inactive")


def attached(site: Site, guests: list[Clone]) -> bool:
    """Whether the stubs of all of these are attached to the SVM."""
    found = site.guests()
    return all(found.get(guest.uuid, {}).get("attached") for guest in guests)
