"""A real SVM, deployed by `svm-host` on a real libvirt by direct kernel boot, and on from there."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.vm_images import svm_image
from tests.support.vm_site import SERVER, SVM, Site, away_of, vm_site


@pytest.fixture
def site() -> Iterator[Site]:
    """One with nothing on it; paths are short."""
    image = svm_image()
    with (
        tempfile.TemporaryDirectory(prefix="kh", dir="/tmp", ignore_cleanup_errors=True) as directory,
        vm_site(Path(directory), image) as made,
    ):
        yield made


def test_an_svm_is_deployed_upgraded_and_removed(site: Site) -> None:
    """Nothing is typed in it; its administrator comes in; its state goes on over an upgrade."""
    said = site.svm_host("deploy", *site.system)
    assert f"kvmla-svm is deployed and answers on 10.113.0.2, for its host on {SERVER}" in said
    assert "do not migrate it" in said
    assert "sandbox     in force" in site.svm("status")
    site.svm("status", identity="agent")
    roles = [line.split()[1] for line in site.svm("certificates", "list").splitlines()[1:]]
    assert sorted(roles) == ["host-agent", "provider", "provider"]  # and the one that `svm init` makes
    authority = (site.directory / "agent" / "ca.pem").read_bytes()
    certificate = (site.directory / "agent" / "administrator.pem").read_bytes()

    assert "nothing was changed" in site.svm_host("deploy", *site.system)
    assert (site.directory / "agent" / "administrator.pem").read_bytes() == certificate

    settings = site.directory / "svm.toml"
    settings.write_text("[limits]\nmax_guests = 7\n")
    began = time.monotonic()
    away = away_of(site.svm_host("upgrade", "--memory", 1100, "--svm-config", settings))
    booted, took = site.up_for(SVM), time.monotonic() - began
    assert booted / 2 < away <= took  # all of the boot is in it
    assert away <= 3 * booted  # and little else: the one before is stopped meanwhile, nothing is copied
    site.svm("status")
    assert (site.directory / "agent" / "ca.pem").read_bytes() == authority
    assert (site.directory / "agent" / "administrator.pem").read_bytes() == certificate

    assert "volume svm-state.qcow2 stays" in site.svm_host("undeploy")
    assert "with it all that the SVM knew" in site.svm_host("undeploy", "--purge", "--yes")
    assert site.machine.virsh("list", "--all", "--name").strip() == ""
    assert "kvmla" not in site.machine.virsh("net-list", "--all") + site.machine.virsh("pool-list", "--all")
