"""svm-host upgrade, as it is typed."""

from pathlib import Path

import pytest

from appliance.hypervisor.deploy.deploying import deploy
from appliance.hypervisor.deploy.deployment import Deployment
from appliance.hypervisor.deploy.health import Health
from appliance.hypervisor.deploy.seed import Told, seed_of
from appliance.hypervisor.deploy.site import standing
from appliance.hypervisor.virt import volumes
from appliance.hypervisor.virt.connection import VirtHost
from tests.support.deployments import disk, site_of, wanted
from tests.unit.appliance.hypervisor.cli.test_vms import svm_host

TEST = ("--connect", "test:///default")


def config(tmp_path: Path) -> tuple[str, str]:
    """The arguments that name the settings."""
    (tmp_path / "h.toml").write_text(f'state_dir = "{tmp_path}/state"\n')
    return "--config", str(tmp_path / "h.toml")


def test_without_an_svm_it_says_what_makes_one(tmp_path: Path) -> None:
    """Nothing is made."""
    code, _, err = svm_host("upgrade", "--memory", "1024", *config(tmp_path), *TEST)
    assert (code, "there is no SVM kvmla-svm here: `svm-host deploy` makes it" in err) == (2, True)


def test_what_is_asked_is_changed_and_the_rest_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked once more, nothing is."""
    monkeypatch.setattr(volumes, "fill", lambda *_: None)  # libvirt's test host holds no content,
    monkeypatch.setattr(Health, "reach", lambda *_: ["odd\x1b[2J"])  # and runs no SVM
    seed = seed_of(Deployment(), Told())[1]
    monkeypatch.setattr(volumes, "content", lambda *_: seed)
    first = wanted(disk(tmp_path / "1.qcow2", b"1"), type="test", pool_dir=str(tmp_path))
    image = disk(tmp_path / "2.qcow2", b"2")
    (tmp_path / "svm.toml").write_text("[limits]\nmax_guests = 7\n")
    words = ("--image", str(image), "--memory", "1024", "--svm-config", str(tmp_path / "svm.toml"))
    with VirtHost.open("test:///default") as host:
        deploy(site_of(host), *first)
        code, out, err = svm_host("upgrade", *words, *config(tmp_path), *TEST)
        assert (code, err) == (0, "")
        assert "odd?[2J\n" in out  # what the SVM says steers no terminal
        assert "kvmla-svm is upgraded and answers; it did not for " in out
        placed = standing(host, "kvmla-svm")
        assert placed is not None
        differences = first[0].differences(placed.deployment)
        assert [line.split()[0] for line in differences] == ["--memory", "--image", "seed"]
        code, out, _ = svm_host("upgrade", *words, *config(tmp_path), *TEST)
        assert (code, out) == (0, "kvmla-svm is so already: nothing was changed\n")


def test_words_of_the_svm_are_one_line_each_and_steer_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is root's terminal on the host, and an SVM that was taken over may say anything."""
    monkeypatch.setattr(volumes, "fill", lambda *_: None)
    monkeypatch.setattr(Health, "reach", lambda *_: ["engine a is not ready: \x1b[2J\nkvmla-svm is well"])
    first = wanted(disk(tmp_path / "1.qcow2", b"1"), type="test", pool_dir=str(tmp_path))
    with VirtHost.open("test:///default") as host:
        deploy(site_of(host), *first)
        code, out, _ = svm_host("upgrade", "--memory", "1024", *config(tmp_path), *TEST)
    assert code == 0
    assert "engine a is not ready: ?[2J?kvmla-svm is well\n" in out
    assert "\x1b" not in out


def test_what_cannot_be_is_told_before_anything_is_done(tmp_path: Path) -> None:
    """Before any host is asked."""
    (tmp_path / "svm.toml").write_text("server = {}\n")
    words = ("--svm-config", str(tmp_path / "svm.toml"), "--connect", "qemu+unix:///system?socket=/nowhere")
    code, _, err = svm_host("upgrade", *words, *config(tmp_path))
    assert (code, "cannot be put into --svm-config" in err) == (2, True)
