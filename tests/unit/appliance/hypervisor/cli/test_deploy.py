"""svm-host deploy, as it is typed."""

from pathlib import Path

import pytest

from appliance.hypervisor.virt.connection import VirtHost
from appliance.hypervisor.virt.definitions import facts
from tests.support.deployments import disk, everything
from tests.unit.appliance.hypervisor.cli.test_vms import svm_host

TEST = ("--connect", "test:///default")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image, and settings beside it."""
    (tmp_path / "h.toml").write_text(f'state_dir = "{tmp_path}/state"\n[deploy]\nmemory_mib = 1024\n')
    return disk(tmp_path / "svm.qcow2", b"1")


def config(image: Path) -> tuple[str, str]:
    """The arguments that name the settings."""
    return "--config", str(image.parent / "h.toml")


def test_a_dry_run_prints_and_touches_nothing(image: Path) -> None:
    """All that libvirt would be told; nothing of the state directory either."""
    with VirtHost.open("test:///default") as host:
        before = everything(host)
        code, out, err = svm_host("deploy", "--image", str(image), "--dry-run", *config(image), *TEST)
        assert (code, err) == (0, "")
        assert everything(host) == before
    assert not (image.parent / "state").exists()
    for begun in ("<network>", "<pool type='dir'>", "<volume>", "<domain type='kvm'>"):
        assert begun in out
    assert "<memory unit='MiB'>1024</memory>" in out
    assert "<name>svm-state.qcow2</name>" in out


def test_a_dry_run_asks_the_host_of_the_settings(image: Path) -> None:
    """As a run does; where they name several it is not known which."""
    path = image.parent / "hosts.toml"
    words = ("deploy", "--image", str(image), "--dry-run", "--config", str(path))
    path.write_text('[libvirt]\nuri = ["test:///default"]\n')
    with VirtHost.open("test:///default") as host:
        assert f"host='{facts(host).name}'" in svm_host(*words)[1].replace('"', "'")
    path.write_text('[libvirt]\nuri = ["test:///default", "test:///other"]\n')
    code, _, err = svm_host(*words)
    assert (code, "name 2 hosts, and an SVM is of one: say --connect" in err) == (2, True)


def test_a_dry_run_needs_no_libvirt(image: Path) -> None:
    """It may be read on a desk."""
    nowhere = "qemu+unix:///system?socket=/nowhere"
    code, out, _ = svm_host(
        "deploy", "--image", str(image), "--dry-run", *config(image), "--connect", nowhere
    )
    assert (code, "<domain type='kvm'>" in out) == (0, True)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "nothing to deploy is named: give --image, or --kernel, --initrd and --root"),
        (("--image", "/nowhere"), "is not there, or no file"),
        (("--image", "IMAGE"), "runs no machines of type kvm"),
        (("--image", "IMAGE", "--type", "lxc"), "invalid choice"),
    ],
)
def test_what_cannot_be_is_one_line(image: Path, words: tuple[str, ...], sentence: str) -> None:
    """And nothing is made."""
    given = [str(image) if word == "IMAGE" else word for word in words]
    with VirtHost.open("test:///default") as host:
        before = everything(host)
        code, _, err = svm_host("deploy", *given, *config(image), *TEST)
        assert everything(host) == before
    assert (code, err.count("\n")) == (2, 1)
    assert sentence in err
