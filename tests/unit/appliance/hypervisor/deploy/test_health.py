"""Until an SVM answers: a real one, on TCP, with the real program at its port."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pytest

from appliance.hypervisor.deploy.deployment import Deployment
from appliance.hypervisor.deploy.handover import Port
from appliance.hypervisor.deploy.health import Health, Identities
from appliance.hypervisor.deploy.site import DeployError
from appliance.hypervisor.virt.connection import VirtError
from appliance.rpc.admin_client import AdminClient
from appliance.rpc.admin_line import CertificateLine
from tests.support.commands import svm_program
from tests.support.host_port import host_port
from tests.support.relay import free_port
from tests.support.svm_process import svm_process, write_config


@contextmanager
def running(directory: Path) -> Iterator[tuple[str, Port]]:
    """An SVM with an authority: its administrators' door, and its port."""
    directory.mkdir(exist_ok=True)
    admin = f"127.0.0.1:{free_port()}"
    doors = f'admin_listen = "{admin}"'
    config = write_config(directory, doors=doors)
    assert svm_program("init", "--config", config, "--address", "127.0.0.1").code == 0
    with svm_process(directory, doors=doors), host_port(directory / "admin.sock") as port:
        yield admin, port


def health(
    tmp_path: Path, admin: str, port: Port | None, seconds: float = 60.0, again: bool = False
) -> Health:
    """The host's look at it. port: None for one that may not be opened."""

    def opened(_name: str) -> AbstractContextManager[Port]:
        assert port is not None, "the port is not asked"
        return nullcontext(port)

    own = Identities(tmp_path / "agent", tmp_path / "administrator", "host-1", again)
    return Health(opened, own, seconds, lambda _deployment: admin)


def name_of(admin: str, identity: Path) -> int:
    """How many engines the SVM tells a holder of that certificate."""
    with AdminClient(CertificateLine(admin, identity)) as client:
        return len(client.status().engines)


def test_a_new_svm_hands_over_its_certificates(tmp_path: Path) -> None:
    """To the host agent and the first administrator; after that its port is not asked."""
    with running(tmp_path / "svm") as (admin, port):
        said = health(tmp_path, admin, port).reach(Deployment(), True)
        assert [line.split(" in ")[0] for line in said] == [
            "certificate of the host-agent host-1",
            "certificate of the provider administrator",
        ]
        assert name_of(admin, tmp_path / "administrator") == name_of(admin, tmp_path / "agent") > 0
        assert health(tmp_path, admin, None).reach(Deployment(), False) == []


def test_an_administrator_who_moved_his_away_gets_no_other_unless_asked(tmp_path: Path) -> None:
    """A certificate that nobody asked for is one too many."""
    with running(tmp_path / "svm") as (admin, port):
        health(tmp_path, admin, port).reach(Deployment(), True)
        (tmp_path / "administrator").rename(tmp_path / "moved")
        (tmp_path / "agent" / "administrator.key").unlink()
        health(tmp_path, admin, port).reach(Deployment(), False)
        assert not (tmp_path / "administrator").exists()
        health(tmp_path, admin, port, again=True).reach(Deployment(), False)
        assert name_of(admin, tmp_path / "administrator") > 0


def test_an_svm_of_another_authority_is_asked_anew(tmp_path: Path) -> None:
    """Its state was purged, or restored from elsewhere."""
    with running(tmp_path / "first") as (admin, port):
        health(tmp_path, admin, port).reach(Deployment(), True)
    before = (tmp_path / "agent" / "ca.pem").read_bytes()
    with running(tmp_path / "second") as (admin, port):
        health(tmp_path, admin, port).reach(Deployment(), False)
        assert name_of(admin, tmp_path / "agent") > 0
    assert (tmp_path / "agent" / "ca.pem").read_bytes() != before


def test_files_that_do_not_belong_together_are_replaced(tmp_path: Path) -> None:
    """A run was killed between them."""
    with running(tmp_path / "svm") as (admin, port):
        health(tmp_path, admin, port).reach(Deployment(), True)
        key = (tmp_path / "administrator" / "administrator.key").read_bytes()
        (tmp_path / "agent" / "administrator.key").write_bytes(key)
        health(tmp_path, admin, port).reach(Deployment(), False)
        assert name_of(admin, tmp_path / "agent") > 0


def test_one_that_does_not_answer_is_told_with_its_console(tmp_path: Path) -> None:
    """Where to look further."""
    with running(tmp_path / "svm") as (admin, port):
        health(tmp_path, admin, port).reach(Deployment(), True)
    sentence = r"did not become healthy within 0\.5 s: no SVM answers on .*; see .*kvmla-svm-console\.log"
    with pytest.raises(DeployError, match=sentence):
        health(tmp_path, admin, None, seconds=0.5).reach(Deployment(), False)


def test_a_libvirt_that_went_meanwhile_is_opened_anew(tmp_path: Path) -> None:
    """Its port is asked anew then; where libvirt is there it is the SVM that cannot be asked."""
    with running(tmp_path / "svm") as (admin, port):
        look, went = health(tmp_path, admin, port), [VirtError("client socket is closed")]
        there = look._opened

        def opened(name: str) -> AbstractContextManager[Port]:
            if went:
                raise went[0]
            return there(name)

        look._opened = opened
        with pytest.raises(VirtError, match="client socket is closed"):
            look.reach(Deployment(), True)
        look.revive = lambda _seconds: bool(went.pop())
        assert len(look.reach(Deployment(), True)) == 2
