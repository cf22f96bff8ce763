"""A host of real machines with a real SVM beside them, in one network, for tests of attested enrolment."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.commands import svm_program
from tests.support.kvm_host import KvmHost, kvm_host
from tests.support.svm_process import ROOT, svm_process, write_config
from tests.support.vm_images import VmImage
from tests.support.vm_shell import CHANNEL, VmShell

HOST = "10.113.0.1"  # of the host on the machines' network; the SVM of these tests stands there too
PORT = "org.kvm_light_agent.enrol.0"

_DOORS = f"""enrolment = "{HOST}:7444"
admin_listen = "{HOST}:7445"
"""
_NETWORK = f"""<network><name>attest</name><bridge name='kvmla9'/>
<ip address='{HOST}' netmask='255.255.255.0'><dhcp><range start='10.113.0.10' end='10.113.0.99'/></dhcp></ip>
</network>"""
_DOMAIN = """<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid>
<memory unit='MiB'>512</memory><vcpu>1</vcpu>
<features><acpi/></features>
<os><type arch='x86_64' machine='q35'>hvm</type><kernel>{kernel}</kernel><initrd>{initrd}</initrd>
<cmdline>{append}</cmdline></os>
<cpu mode='custom'><model>Nehalem</model></cpu>
<devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='unsafe'/><source file='{disk}'/>
<target dev='vda' bus='virtio'/></disk>
<interface type='network'><source network='attest'/><model type='virtio'/></interface>
<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
<serial type='file'><source path='{log}'/></serial>
<memballoon model='none'/>{more}
</devices></domain>"""


@dataclass(frozen=True)
class Machine:
    """A guest. shell: a root shell in it, which needs no network."""

    name: str
    uuid: str
    shell: VmShell

    def identity(self) -> dict[str, Any]:
        """Who it is to its SVM; empty for nobody."""
        ran = self.shell.run("guest-stub", "identity", "--json")
        found: dict[str, Any] = json.loads(ran.out) if ran.code == 0 else {}
        return found


@dataclass
class Attesting:
    """A host, an SVM that serves, and the host agent's settings."""

    host: KvmHost
    directory: Path
    settings: Path
    machines: list[Machine] = field(default_factory=list)

    def define(self, name: str, image: VmImage | None = None, devices: str = "") -> Machine:
        """A machine that is off; without an image it has no system."""
        place = self.directory / name
        place.mkdir()
        machine = Machine(name, str(uuid.uuid4()), VmShell(place / "sh"))
        disk = place / "disk"
        if image is None:
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "1M"], check=True)
            boots = {"kernel": "", "initrd": "", "append": ""}
        else:
            image.overlay(disk)
            boots = {"kernel": str(image.kernel), "initrd": str(image.initrd), "append": image.append}
            devices += CHANNEL.format(path=place / "sh")
        xml = _DOMAIN.format(
            name=name, uuid=machine.uuid, disk=disk, log=place / "console", more=devices, **boots
        )
        (place / "domain.xml").write_text(xml)
        self.host.virsh("define", place / "domain.xml")
        self.machines.append(machine)
        return machine

    def svm_host(self, *words: object, seconds: float = 300.0) -> subprocess.CompletedProcess[str]:
        """Run `svm-host` on the host."""
        return self.host.run("env", *environ(), *agent(*words, "--config", self.settings), seconds=seconds)

    def svm(self, *words: object) -> Any:
        """What `svm` says as JSON."""
        ran = svm_program(*words, "--socket", self.directory / "svm" / "admin.sock", "--json")
        assert ran.code == 0, ran.err
        return ran.json

    def svm_order(self, *words: object) -> None:
        """Have `svm` do something."""
        ran = svm_program(*words, "--socket", self.directory / "svm" / "admin.sock")
        assert ran.code == 0, ran.err

    @contextmanager
    def serving(self) -> Iterator["Agent"]:
        """`svm-host serve`, on the host, for the length of a `with`."""
        path = self.directory / "agent.log"
        begins = path.stat().st_size if path.exists() else 0
        with self.host.running(path, "env", *environ(), *agent("serve", "--config", self.settings)):
            yield Agent(path, begins)


@dataclass(frozen=True)
class Agent:
    """A `svm-host serve`. path: what it and those before have said."""

    path: Path
    begins: int

    @property
    def log(self) -> str:
        """What it has said."""
        return self.path.read_text()[self.begins :]


def environ() -> list[str]:
    """Words for `env`, by which programs of this tree run."""
    return [f"PYTHONPATH={ROOT}:{ROOT / 'protos'}"]


def agent(*words: object) -> list[str]:
    """The words of `svm-host`."""
    return [sys.executable, "-m", "appliance.hypervisor", *map(str, words)]


@contextmanager
def attesting(directory: Path) -> Iterator[Attesting]:
    """One, with everything below a directory whose path is short."""
    with ExitStack() as stack:
        host = stack.enter_context(kvm_host(directory / "h"))
        (directory / "net.xml").write_text(_NETWORK)
        host.virsh("net-create", directory / "net.xml")
        place = directory / "svm"
        place.mkdir()
        listen = f"tcp:{HOST}:7443"
        config = write_config(place, listen=listen, doors=_DOORS)
        ran = svm_program("init", "--config", config, "--address", HOST)
        assert ran.code == 0, ran.err
        stack.enter_context(svm_process(place, listen=listen, doors=_DOORS, within=host.words()))
        issue = (
            "certificates",
            "issue",
            "--role",
            "host-agent",
            "--name",
            "host-1",
            "--out",
            directory / "id",
        )
        ran = svm_program(*issue, "--socket", place / "admin.sock")
        assert ran.code == 0, ran.err
        yield Attesting(host, directory, _settings(directory))


def _settings(directory: Path) -> Path:
    path = directory / "svm-host.toml"
    path.write_text(
        f"""state_dir = "{directory}/state"
[svm]
server = "{HOST}:7445"
identity = "{directory}/id"
[enrolment]
automatic = true
exclude = ["left-*"]
"""
    )
    os.chmod(path, 0o600)
    return path
