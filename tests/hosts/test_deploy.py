"""Deployments on a real libvirt, of an image that boots nothing: what is made, kept apart, and taken back."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.hypervisor.deploy import images
from appliance.hypervisor.deploy.deploying import deploy
from appliance.hypervisor.deploy.deployment import Deployment
from appliance.hypervisor.deploy.health import Health
from appliance.hypervisor.deploy.images import Part
from appliance.hypervisor.deploy.making import Making
from appliance.hypervisor.deploy.removing import undeploy
from appliance.hypervisor.deploy.seed import told_in
from appliance.hypervisor.deploy.site import DeployError, standing
from appliance.hypervisor.deploy.upgrading import upgrade
from appliance.hypervisor.isolation.enforcing import isolator_of
from appliance.hypervisor.isolation.isolator import Order
from appliance.hypervisor.settings import HostSettings
from appliance.hypervisor.virt.connection import VirtError, VirtHost
from appliance.hypervisor.virt.definitions import forget
from tests.support.deployments import POOL_DIR, disk, everything, site_of, wanted
from tests.support.domains import defined, domain, interface, states_of
from tests.support.kvm_host import KvmHost, kvm_host
from tests.unit.appliance.hypervisor.cli.test_vms import svm_host

ROOT = Path(__file__).parents[2]
STEPS = 9
GUEST = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices><controller type='usb' model='none'/>
<interface type='network'><source network='kvmla-protection'/><model type='virtio'/></interface>
<memballoon model='none'/></devices></domain>"""

# Two guests and an SVM as network namespaces, whose ports have what libvirt gave those of the machines.
_CABLES = """
set -e
mkdir -p /run/netns
i=2
for name in svm one two; do
  ip netns add $name
  ip link add $name type veth peer name eth0 netns $name
  ip link set $name master kvmla0 up
  [ $name = svm ] || bridge link set dev $name isolated on
  ip -n $name addr add 10.113.0.$i/24 dev eth0
  ip -n $name link set eth0 up
  ip -n $name link set lo up
  i=$((i + 1))
done
"""


@pytest.fixture(scope="module")
def machine() -> Iterator[KvmHost]:
    """A host of machines; its path is short."""
    with (
        tempfile.TemporaryDirectory(prefix="kh", dir="/tmp", ignore_cleanup_errors=True) as directory,
        kvm_host(Path(directory) / "h") as host,
    ):
        yield host


@pytest.fixture
def host(machine: KvmHost) -> Iterator[VirtHost]:
    """Its libvirt, on which nothing is left."""
    with VirtHost.open(machine.uri) as opened:
        yield opened
        undeploy(site_of(opened), Deployment(), purge=True)
        assert everything(opened) == set()


@pytest.fixture
def asked(tmp_path: Path) -> tuple[Deployment, list[Part]]:
    """A small deployment."""
    return wanted(disk(tmp_path / "1.qcow2", b"1"))


def in_pool(machine: KvmHost, name: str) -> Path:
    """A file of the pool, as it is seen from here."""
    return machine.directory / "lib" / Path(POOL_DIR).name / name


def test_a_guest_that_is_cut_off_keeps_its_svm_wherever_that_was_deployed(
    host: VirtHost, tmp_path: Path
) -> None:
    """By names that the settings of whoever cuts off do not have."""
    image = disk(tmp_path / "1.qcow2", b"1")
    deploy(site_of(host), *wanted(image, network="other", bridge="br-other"))
    guest = domain("web", interface(1, "other") + interface(2))
    uuid = defined(host, guest)
    isolator = isolator_of(replace(HostSettings(), state_dir=tmp_path / "state"))
    try:
        assert isolator.isolate(host, uuid, "web", Order("a test", "test")).links == 1
        assert states_of(host, uuid) == {"live": [True, False], "config": [True, False]}
        assert not isolator.enforce(host, uuid)
    finally:
        forget(host, "web")


def test_what_is_deployed_is_there_to_the_byte(
    machine: KvmHost, host: VirtHost, asked: tuple[Deployment, list[Part]]
) -> None:
    """Volumes that nobody else may read, a machine that runs; a second run changes nothing."""
    deploy(site_of(host), *asked)
    there = everything(host)
    assert there == {
        *("network kvmla-protection 1", "network kvmla-host 1", "pool kvmla 1", "machine kvmla-svm 1"),
        *(f"volume {name}" for name in (*asked[0].volumes, asked[0].state)),
    }
    for part in asked[1]:
        path = in_pool(machine, part.name)
        with part.open() as content:
            assert path.read_bytes() == content.read()
        assert path.stat().st_mode & 0o777 == 0o600
    assert deploy(site_of(host), *asked).steps == []
    assert everything(host) == there


def test_guests_reach_the_svm_and_nothing_else(
    machine: KvmHost, host: VirtHost, asked: tuple[Deployment, list[Part]]
) -> None:
    """Not each other, though nothing is said in their definitions; not the host, which is not there."""
    deploy(site_of(host), *asked)
    guests = [host.connection.createXML(GUEST.format(name=name)) for name in ("g1", "g2")]
    try:
        links = json.loads(machine.run("bridge", "-j", "-d", "link").stdout)
        of_guests = [link["isolated"] for link in links if link["master"] == "kvmla0"]
        assert sorted(of_guests) == [False, True, True]
        address = json.loads(machine.run("ip", "-j", "addr", "show", "dev", "kvmla0").stdout)
        assert address[0]["addr_info"] == []
        cabled = machine.run("sh", "-c", _CABLES)
        assert cabled.returncode == 0, cabled.stderr
        assert pings(machine, "one", "10.113.0.2")
        assert pings(machine, "svm", "10.113.0.4")
        assert not pings(machine, "one", "10.113.0.4")
        assert not pings(machine, "one", "10.113.1.1")
    finally:
        for guest in guests:
            guest.destroy()
        for name in ("svm", "one", "two"):
            machine.run("ip", "netns", "del", name)


def pings(machine: KvmHost, name: str, address: str) -> bool:
    """Whether a namespace reaches an address."""
    words = ("ip", "netns", "exec", name, "busybox", "ping", "-c", "3", "-W", "3", address)
    return machine.run(*words).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_interrupted_it_takes_all_back_and_says_so(
    machine: KvmHost,
    host: VirtHost,
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    """By what a broken ssh session sends, and by an order to end."""
    before = everything(host)
    config = tmp_path / "c.toml"
    config.write_text(
        f'state_dir = "{tmp_path}/state"\n[svm]\nidentity = "{tmp_path}/agent"\n'
        f'[deploy]\npool_dir = "{POOL_DIR}"\nmemory_mib = 512\nvcpus = 1\nstate_gib = 1\n'
    )
    words = [sys.executable, "-m", "appliance.hypervisor", "deploy", "--type", "qemu"]
    words += ["--connect", machine.uri, "--config", str(config)]
    words += ["--image", str(disk(tmp_path / "1.qcow2", b"1"))]
    environ = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT}/protos"}
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True, env=environ, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            assert any("waiting until the SVM answers" in line for line in process.stdout)
            process.send_signal(number)
            _, err = process.communicate(timeout=300)
        finally:
            process.kill()
    assert err == "svm-host: interrupted: what was made so far is taken back\n"
    assert process.returncode == 130
    assert everything(host) == before


@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_killed_before_any_step_the_next_run_completes(
    machine: KvmHost, host: VirtHost, tmp_path: Path, asked: tuple[Deployment, list[Part]], step: int
) -> None:
    """And what it makes is whole."""
    words = [sys.executable, ROOT / "tests/support/kill_deploy.py", machine.uri, tmp_path / "1.qcow2", step]
    environ = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT}/protos"}
    killed = subprocess.run(list(map(str, words)), env=environ, check=False, timeout=300)
    assert killed.returncode == -signal.SIGKILL
    deploy(site_of(host), *asked)
    placed = standing(host, "kvmla-svm")
    assert placed is not None
    assert (placed.deployment, placed.healthy) == (asked[0], True)
    with asked[1][0].open() as content:
        assert in_pool(machine, asked[0].system).read_bytes() == content.read()


def test_killed_in_the_middle_it_can_be_cleaned(
    machine: KvmHost, host: VirtHost, tmp_path: Path, asked: tuple[Deployment, list[Part]]
) -> None:
    """By undeploy, or by a next run that fails."""
    words = [sys.executable, ROOT / "tests/support/kill_deploy.py", machine.uri, tmp_path / "1.qcow2", STEPS]
    environ = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT}/protos"}
    subprocess.run(list(map(str, words)), env=environ, check=False, timeout=300)

    def reach(_deployment: Deployment, _new: bool) -> list[str]:
        raise DeployError("it did not become healthy")

    with pytest.raises(DeployError, match="what was made so far is taken back"):
        deploy(site_of(host, reach=reach), *asked)
    assert everything(host) == {"pool kvmla 1", f"volume {asked[0].state}"}


@pytest.mark.parametrize("answers", [True, False])
def test_a_libvirt_that_is_started_anew_meanwhile_is_opened_anew(
    machine: KvmHost, asked: tuple[Deployment, list[Part]], answers: bool
) -> None:
    """What is deployed is whole then, or taken back."""
    with VirtHost.open(machine.uri) as host:
        site = site_of(host, reach=started_anew(machine, asked[0], answers))
        if answers:
            deploy(site, *asked)
            placed = standing(host, "kvmla-svm")
            assert placed is not None
            assert placed.healthy
            undeploy(site_of(host), asked[0], purge=True)
        else:
            with pytest.raises(DeployError, match="healthy; what was made so far is taken back"):
                deploy(site, *asked)
        assert everything(host) == set()


@pytest.mark.parametrize("answers", [True, False])
def test_a_libvirt_that_is_started_anew_amid_an_upgrade_is_opened_anew(
    machine: KvmHost, host: VirtHost, tmp_path: Path, asked: tuple[Deployment, list[Part]], answers: bool
) -> None:
    """The new system runs then, or the one before again; nothing is left of the other."""
    deploy(site_of(host), *asked)
    before = standing(host, "kvmla-svm")
    assert before is not None
    second = wanted(disk(tmp_path / "2.qcow2", b"2"))
    site = site_of(host, reach=started_anew(machine, second[0], answers))
    if answers:
        upgrade(site, before, *second)
    else:
        with pytest.raises(DeployError, match="healthy; kvmla-svm runs again as it was before"):
            upgrade(site, before, *second)
    runs = second[0] if answers else asked[0]
    placed = standing(host, "kvmla-svm")
    assert placed is not None
    assert (placed.deployment, placed.before, placed.healthy) == (runs, None, True)
    assert everything(host) == {
        *("network kvmla-protection 1", "network kvmla-host 1", "pool kvmla 1", "machine kvmla-svm 1"),
        *(f"volume {name}" for name in (*runs.volumes, runs.state)),
    }


def started_anew(
    machine: KvmHost, which: Deployment, answers: bool
) -> Callable[[Deployment, bool], list[str]]:
    """What starts libvirtd anew when it is asked whether a deployment answers; others answer at once."""

    def reach(deployment: Deployment, _new: bool) -> list[str]:
        if deployment == which:
            machine.kill_libvirtd()
            machine.start_libvirtd()
            if not answers:
                raise DeployError("it did not become healthy")
        return []

    return reach


def test_a_host_that_goes_away_is_told_and_cleaned_later(
    machine: KvmHost, asked: tuple[Deployment, list[Part]]
) -> None:
    """What could not be taken back is named, with what removes it."""

    def reach(_deployment: Deployment, _new: bool) -> list[str]:
        machine.kill_libvirtd()
        raise DeployError("it did not become healthy")

    with (
        VirtHost.open(machine.uri) as host,
        pytest.raises(
            DeployError, match=r"be taken back \(libvirt went and did not come back .*run `svm-host undeploy`"
        ),
    ):
        deploy(site_of(host, reach=reach), *asked)
    machine.start_libvirtd()
    with VirtHost.open(machine.uri) as host:
        assert "machine kvmla-svm 1" in everything(host)
        undeploy(site_of(host), asked[0], purge=True)
        assert everything(host) == set()


def test_a_pool_that_fills_up_leaves_nothing(
    machine: KvmHost, host: VirtHost, asked: tuple[Deployment, list[Part]]
) -> None:
    """It is seen before, and where it happens nevertheless what was written is deleted."""
    directory = "/var/lib/libvirt/small"
    mounted = machine.run("sh", "-c", f"mkdir -p {directory} && mount -t tmpfs -o size=3m small {directory}")
    assert mounted.returncode == 0, mounted.stderr
    wanted_ = replace(asked[0], pool_dir=directory)
    try:
        with pytest.raises(DeployError, match=r"has 3 MiB free, and 25\d are needed.*taken back"):
            deploy(site_of(host), wanted_, asked[1])
        assert everything(host) == set()
        making = Making(site_of(host), wanted_, None)
        making.pool()
        with pytest.raises(VirtError, match=r"the volume svm-system-1 cannot be"):
            making.volumes([images.in_memory("svm-system-1", b"1" * 5_000_000)])
        assert making.undo.run() == []
        assert everything(host) == set()
    finally:
        machine.run("umount", directory)


def test_an_upgrade_changes_the_system_and_back_again_where_it_does_not_answer(
    machine: KvmHost, host: VirtHost, tmp_path: Path, asked: tuple[Deployment, list[Part]]
) -> None:
    """The state disk is the same file all the while."""
    deploy(site_of(host), *asked)
    state = in_pool(machine, asked[0].state).stat().st_ino
    before = standing(host, "kvmla-svm")
    assert before is not None
    second = wanted(disk(tmp_path / "2.qcow2", b"2"))

    def reach(deployment: Deployment, _new: bool) -> list[str]:
        if deployment != asked[0]:
            raise DeployError("it did not become healthy")
        return []

    with pytest.raises(DeployError, match="kvmla-svm runs again as it was before"):
        upgrade(site_of(host, reach=reach), before, *second)
    assert standing(host, "kvmla-svm") == before
    began = time.monotonic()
    _, away = upgrade(site_of(host), before, *second)
    assert 0 < away <= time.monotonic() - began
    placed = standing(host, "kvmla-svm")
    assert placed is not None
    assert placed.deployment == second[0]
    assert in_pool(machine, asked[0].state).stat().st_ino == state
    assert not in_pool(machine, asked[0].system).exists()
    running = host.connection.lookupByName("kvmla-svm").XMLDesc()
    assert second[0].system in running


def test_an_upgrade_keeps_what_the_operator_does_not_say_anew(
    machine: KvmHost, host: VirtHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """His settings where he gives keys, his keys where he gives settings."""
    monkeypatch.setattr(Health, "reach", lambda *_: [])  # there is no SVM in the image
    deploy(site_of(host), *wanted(disk(tmp_path / "1.qcow2", b"1")))
    (tmp_path / "c.toml").write_text(f'state_dir = "{tmp_path}/state"\n')
    said = []
    for option, name, content in (
        ("--svm-config", "svm.toml", "[limits]\nmax_guests = 7\n"),
        ("--ssh-key", "key", "ssh-ed25519 AAAA somebody\n"),
        ("--svm-config", "svm.toml", "[limits]\nmax_guests = 8\n"),
    ):
        (tmp_path / name).write_text(content)
        words = ("upgrade", option, str(tmp_path / name), "--config", str(tmp_path / "c.toml"))
        code, _, err = svm_host(*words, "--connect", machine.uri)
        assert (code, err) == (0, "")
        placed = standing(host, "kvmla-svm")
        assert placed is not None
        seed = placed.deployment.seed
        told = told_in(in_pool(machine, seed).read_bytes(), placed.deployment)
        said.append((tomllib.loads(told.settings)["limits"], told.ssh_keys))
    key = ("ssh-ed25519 AAAA somebody",)
    assert said == [({"max_guests": 7}, ()), ({"max_guests": 7}, key), ({"max_guests": 8}, key)]


@pytest.mark.parametrize(
    ("made", "advice"),
    [
        (
            "ip link add br9 type bridge && ip addr add 10.113.1.5/24 dev br9 && ip link set br9 up",
            "--host-address",
        ),
        ("ip link add kvmla0 type bridge", "deploy.bridge"),
    ],
)
def test_what_the_host_has_without_libvirt_is_told_with_what_to_do(
    machine: KvmHost, host: VirtHost, asked: tuple[Deployment, list[Part]], made: str, advice: str
) -> None:
    """An address, or a bridge; all is taken back."""
    assert machine.run("sh", "-c", made).returncode == 0
    try:
        with pytest.raises(DeployError, match=f"itself, .*{advice}.*; what was made so far is taken back"):
            deploy(site_of(host), *asked)
    finally:
        machine.run("sh", "-c", f"ip link del {made.split()[3]}")
    assert everything(host) == set()


def test_a_network_that_the_host_has_already_is_a_sentence(
    machine: KvmHost, host: VirtHost, asked: tuple[Deployment, list[Part]]
) -> None:
    """An address of another bridge, which libvirt knows nothing of."""
    machine.run("sh", "-c", "ip link add other type bridge && ip link set other up")
    machine.run("ip", "addr", "add", "10.113.1.77/24", "dev", "other")
    try:
        with pytest.raises(DeployError, match=r"network kvmla-host cannot be started: .*in use.*taken back"):
            deploy(site_of(host), *asked)
        assert everything(host) == set()
    finally:
        machine.run("ip", "link", "del", "other")


def test_it_is_not_migrated(machine: KvmHost, host: VirtHost, asked: tuple[Deployment, list[Part]]) -> None:
    """libvirt refuses by itself: its disks are this host's own."""
    deploy(site_of(host), *asked)
    with kvm_host(machine.directory.parent / "o") as other:
        words = ("virsh", "-c", "qemu:///system", "migrate", "--live", "--p2p", "kvmla-svm", other.uri)
        migrated = machine.run(*words)
    assert (migrated.returncode, "storage is unsafe" in migrated.stderr) == (1, True), migrated.stderr
    assert "machine kvmla-svm 1" in everything(host)
