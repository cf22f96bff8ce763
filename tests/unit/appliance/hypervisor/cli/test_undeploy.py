"""svm-host undeploy, as it is typed."""

import io
from pathlib import Path

import pytest

from appliance.cli.console import Console
from appliance.hypervisor.cli.program import run
from appliance.hypervisor.deploy.deploying import deploy
from appliance.hypervisor.virt import volumes
from appliance.hypervisor.virt.connection import VirtHost
from tests.support.deployments import disk, everything, site_of, wanted
from tests.unit.appliance.hypervisor.cli.test_vms import svm_host

TEST = ("--connect", "test:///default")


class Terminal(io.StringIO):
    """Where a person sits."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def config(tmp_path: Path) -> tuple[str, str]:
    """The arguments that name the settings."""
    (tmp_path / "h.toml").write_text(f'state_dir = "{tmp_path}/state"\n')
    return "--config", str(tmp_path / "h.toml")


def answered(tmp_path: Path, line: str) -> tuple[int, str]:
    """Exit code and output of a purge that a person answers so."""
    out = Terminal()
    console = Console({}, out, io.StringIO(), lambda: 0.0, input=Terminal(line), program="svm-host")
    return run(("undeploy", "--purge", *config(tmp_path), *TEST), console), out.getvalue()


def test_where_there_is_nothing_it_says_so(tmp_path: Path) -> None:
    """The answer is no."""
    code, out, _ = svm_host("undeploy", *config(tmp_path), *TEST)
    assert (code, out) == (1, "there is no SVM kvmla-svm here, and nothing of it\n")


def test_state_is_removed_for_who_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name or by --yes; not by silence, and not by a script that nobody watches."""
    monkeypatch.setattr(volumes, "fill", lambda *_: None)
    with VirtHost.open("test:///default") as host:
        before = everything(host)
        deploy(site_of(host), *wanted(disk(tmp_path / "1.qcow2"), type="test", pool_dir=str(tmp_path)))
        made = everything(host)
        code, _, err = svm_host("undeploy", "--purge", *config(tmp_path), *TEST)
        assert (code, "say --yes where nobody can be asked" in err) == (2, True)
        for line in ("y\n", ""):
            code, out = answered(tmp_path, line)
            assert (code, "nothing was removed" in out) == (1, True)
        assert everything(host) == made
        code, _ = answered(tmp_path, "kvmla-svm\n")
        assert code == 0
        assert everything(host) == before
