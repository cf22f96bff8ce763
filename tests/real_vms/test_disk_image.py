"""The disk that `svm-host image build svm` makes: the same bytes each time; cloud-init in it does its part.

It is made twice, each time from packages and libraries alone, which takes some three minutes; one of them is
deployed, boots by BIOS, and is looked at over ssh.
"""

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance.hypervisor.deploy.addresses import mac_of
from appliance.hypervisor.image.apt import Apt
from appliance.hypervisor.image.libraries import Wheels
from appliance.hypervisor.image.lock import SHIPPED, ImageLock
from tests.support.telling import until
from tests.support.vm_images import ROOT, cache_directory, lock_in_use, svm_image
from tests.support.vm_site import SECONDS, SVM, Site, vm_site

_ADMIN_SIDE = "10.113.1.2"
_SETTINGS = "[limits]\nmax_guests = 7\n"
_SSH = (
    *("ssh", "-F", "/dev/null", "-o", "BatchMode=yes", "-o", "ConnectTimeout=60", "-o", "LogLevel=ERROR"),
    *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
)
# Runs in the SVM: what it says of itself.
_LOOKS = """
import json, os, subprocess
def said(*words):
    ran = subprocess.run(words, capture_output=True, text=True)
    return [ran.returncode, ran.stdout + ran.stderr]
def text(path):
    with open(path) as file:
        return file.read()
print(json.dumps({
    "cloud-init": said("cloud-init", "status", "--wait", "--long"),
    "result": json.loads(text("/run/cloud-init/result.json"))["v1"],
    "warnings": said("grep", "-e", "WARNING", "-e", "ERROR", "/var/log/cloud-init.log")[1],
    "hostname": [os.uname().nodename, text("/etc/hostname")],
    "keys": text("/root/.ssh/authorized_keys"),
    "users": [line.split(":")[0] for line in text("/etc/passwd").splitlines()],
    "addresses": json.loads(said("ip", "-json", "address")[1]),
    "settings": text("/etc/kvm-light-agent/svm.toml"),
    "rules": said("ip", "rule")[1],
    "lets in": [name for name in os.listdir("/sys/class/net")
                if not said("ip", "route", "get", "10.113.1.2", "from", "10.113.0.99", "iif", name)[0]],
    "failed": said("systemctl", "--failed", "--no-legend", "--plain")[1],
}))
"""


@dataclass(frozen=True)
class Brought:
    """What is downloaded, and the lock that it is of."""

    lock: Path
    cache: Path


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory with a short path."""
    directory = Path(tempfile.mkdtemp(prefix="kh", dir="/tmp"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def brought() -> Brought:
    """Packages and libraries are there, and a lock that they meet."""
    svm_image()
    file, cache = lock_in_use(SHIPPED), cache_directory()
    lock = ImageLock.load(file)
    Apt(cache / "apt", lock.suite).fetch([lock.kernel, *lock.packages["cloud"]])
    Wheels(cache / "wheels").fetch(lock.libraries["svm"])
    return Brought(file, cache)


@pytest.fixture(scope="module")
def disks(place: Path, brought: Brought) -> tuple[Path, Path]:
    """It, made twice: nothing is shared but what was downloaded, and who makes them has other habits."""
    one = _make(place / "one", brought, 0o022, {"TZ": "UTC", "PYTHONHASHSEED": "1"})
    other = _make(place / "in-another-place", brought, 0o077, {"TZ": "Asia/Tokyo", "PYTHONHASHSEED": "2"})
    return one, other


def _make(directory: Path, brought: Brought, umask: int, environ: dict[str, str]) -> Path:
    """Make it by the program, as its defaults are, with a cache of its own."""
    cache, file = directory / "cache", directory / "svm.qcow2"
    (cache / "apt/cache").mkdir(parents=True)
    for name in ("apt/cache/archives", "wheels"):
        (cache / name).symlink_to(brought.cache / name)
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "appliance.hypervisor", "image", "build", "svm", "--output", str(file)),
            *("--cache", str(cache), "--lock", str(brought.lock)),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=1200,
        umask=umask,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/protos", **environ},
    )
    assert ran.returncode == 0, ran.stderr
    return file


def test_the_same_lock_gives_the_same_disk(disks: tuple[Path, Path]) -> None:
    """From packages to the last byte, boot loader and all: at another time, elsewhere, with another umask."""
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in disks]
    compared = subprocess.run(["qemu-img", "compare", *disks], check=False, capture_output=True)
    assert len(set(digests)) == 1, compared.stdout


@pytest.fixture(scope="module")
def looked(place: Path, disks: tuple[Path, Path]) -> Iterator[dict[str, Any]]:
    """It was deployed with a key and settings, boots by BIOS, and has been asked about itself."""
    key, settings = place / "key", place / "svm.toml"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "anna", "-f", key], check=True)
    settings.write_text(_SETTINGS)
    with vm_site(place, svm_image()) as site:
        words = ("--image", disks[0], "--ssh-key", f"{key}.pub", "--svm-config", settings)
        said = site.svm_host("deploy", *words)
        assert f"{SVM} is deployed and answers" in said
        yield {**_ask(site, key), "public": key.with_suffix(".pub").read_text()}


def _ask(site: Site, key: Path) -> dict[str, Any]:
    """What it says of itself, to root who comes with a key over the host's network."""
    out = ""

    def answered() -> bool:
        nonlocal out
        words = (*_SSH, "-i", key, f"root@{_ADMIN_SIDE}", shlex.join(["python3", "-c", _LOOKS]))
        ran = site.machine.run(*words, seconds=SECONDS)
        assert ran.returncode in (0, 255), f"{ran.stderr}{site.console()}"
        assert "Permission denied" not in ran.stderr, f"{ran.stderr}{site.console()}"
        out = ran.stdout
        return ran.returncode == 0

    until(answered, "root comes in by ssh")
    found: dict[str, Any] = json.loads(out)
    return found


def test_cloud_init_ends_well(looked: dict[str, Any]) -> None:
    """By the NoCloud disk, with nothing to complain of; nothing else failed beside it."""
    code, said = looked["cloud-init"]
    assert code == 0, f"{said}{looked['warnings']}"
    assert "status: done" in said
    assert looked["result"]["datasource"].startswith("DataSourceNoCloud ")
    assert looked["result"]["errors"] == []
    assert looked["warnings"] == ""
    assert looked["failed"] == ""


def test_its_name_keys_and_settings_are_those_of_the_seed(looked: dict[str, Any]) -> None:
    """The key once, though two programs enter it; and no user is made up."""
    assert looked["hostname"] == [SVM, f"{SVM}\n"]
    assert looked["keys"] == looked["public"]
    assert "debian" not in looked["users"]
    assert tomllib.loads(looked["settings"]) == {
        "server": {
            "listen": "tcp:10.113.0.2:7443",
            "enrolment": "10.113.0.2:7444",
            "admin_listen": f"{_ADMIN_SIDE}:7445",
        },
        "limits": {"max_guests": 7},
    }


def test_its_addresses_are_those_of_the_seed(looked: dict[str, Any]) -> None:
    """Each on its card, and no other; guests do not reach the host's side, whatever their card was called."""
    cards = {card["address"]: card for card in looked["addresses"] if card["ifname"] != "lo"}
    guests, host = (cards.pop(mac_of(SVM, network)) for network in ("kvmla-protection", "kvmla-host"))
    assert cards == {}
    for card, address in ((guests, "10.113.0.2/24"), (host, f"{_ADMIN_SIDE}/24")):
        assert [f"{each['local']}/{each['prefixlen']}" for each in card["addr_info"]] == [address]
    assert f"to {_ADMIN_SIDE} iif {guests['ifname']} blackhole" in looked["rules"]
    assert host["ifname"] in looked["lets in"]
    assert guests["ifname"] not in looked["lets in"]
