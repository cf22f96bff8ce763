"""A real SVM, deployed by `svm-host` on a real libvirt by direct kernel boot, and on from there."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.kvm_host import KvmHost, kvm_host
from tests.support.vm_images import VmImage, svm_image

ROOT = Path(__file__).parents[2]
SERVER = "10.113.1.2:7445"
SECONDS = 900.0  # an SVM under emulation, on a machine that others use

_SETTINGS = """
state_dir = "{directory}/state"
[svm]
identity = "{directory}/agent"
[deploy]
type = "qemu"
memory_mib = 1024
vcpus = 1
state_gib = 1
pool_dir = "/var/lib/libvirt/kvmla"
wait_seconds = 800
administrator = "{directory}/administrator"
"""


@dataclass
class Site:
    """A host of machines, where the programs run that are typed there."""

    machine: KvmHost
    directory: Path
    image: VmImage

    def run(self, program: str, *words: object) -> subprocess.CompletedProcess[str]:
        """Run `svm-host` ("appliance.hypervisor") or `svm` ("appliance") on the host."""
        path = f"PYTHONPATH={ROOT}:{ROOT}/protos"
        return self.machine.run("env", path, sys.executable, "-m", program, *words, seconds=SECONDS)

    def svm_host(self, *words: object) -> str:
        """What `svm-host` says, which does it."""
        ran = self.run("appliance.hypervisor", *words, "--config", self.directory / "host.toml")
        log = "tail -n 30 /var/log/libvirt/qemu/kvmla-svm-console.log"
        assert ran.returncode == 0, f"{ran.stdout}{ran.stderr}{self.machine.run('sh', '-c', log).stdout}"
        return ran.stdout

    def svm(self, *words: object, identity: str = "administrator") -> str:
        """What `svm` says of the SVM, to the holder of a certificate."""
        ran = self.run("appliance", *words, "--server", SERVER, "--identity", self.directory / identity)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout


@pytest.fixture
def site() -> Iterator[Site]:
    """One with nothing on it; paths are short."""
    image = svm_image()
    with (
        tempfile.TemporaryDirectory(prefix="kh", dir="/tmp", ignore_cleanup_errors=True) as directory,
        kvm_host(Path(directory) / "h") as machine,
    ):
        (Path(directory) / "host.toml").write_text(_SETTINGS.format(directory=directory))
        yield Site(machine, Path(directory), image)


def test_an_svm_is_deployed_upgraded_and_removed(site: Site) -> None:
    """Nothing is typed in it; its administrator comes in; its state goes on over an upgrade."""
    image = site.image
    system = ("--kernel", image.kernel, "--initrd", image.initrd, "--root", image.root)
    said = site.svm_host("deploy", *system)
    assert f"kvmla-svm is deployed and answers on 10.113.0.2, for its host on {SERVER}" in said
    assert "do not migrate it" in said
    assert "sandbox     in force" in site.svm("status")
    site.svm("status", identity="agent")
    roles = [line.split()[1] for line in site.svm("certificates", "list").splitlines()[1:]]
    assert sorted(roles) == ["host-agent", "provider", "provider"]  # and the one that `svm init` makes
    authority = (site.directory / "agent" / "ca.pem").read_bytes()
    certificate = (site.directory / "agent" / "administrator.pem").read_bytes()

    assert "nothing was changed" in site.svm_host("deploy", *system)
    assert (site.directory / "agent" / "administrator.pem").read_bytes() == certificate

    settings = site.directory / "svm.toml"
    settings.write_text("[limits]\nmax_guests = 7\n")
    said = site.svm_host("upgrade", "--memory", 1100, "--svm-config", settings)
    assert re.search(r"is upgraded and answers; it did not for [\d.]+ s", said)
    site.svm("status")
    assert (site.directory / "agent" / "ca.pem").read_bytes() == authority
    assert (site.directory / "agent" / "administrator.pem").read_bytes() == certificate

    assert "volume svm-state.qcow2 stays" in site.svm_host("undeploy")
    assert "with it all that the SVM knew" in site.svm_host("undeploy", "--purge", "--yes")
    assert site.machine.virsh("list", "--all", "--name").strip() == ""
    assert "kvmla" not in site.machine.virsh("net-list", "--all") + site.machine.virsh("pool-list", "--all")
