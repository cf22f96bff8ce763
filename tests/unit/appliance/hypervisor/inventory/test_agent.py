"""Who a host agent is."""

from pathlib import Path

import pytest

from appliance.hypervisor.files import StateUnusable
from appliance.hypervisor.inventory.agent import Agent, serving_alone
from appliance.identity.names import is_uuid
from tests.support.machines import HOST, OTHER_HOST


def test_it_is_the_same_after_a_restart(tmp_path: Path) -> None:
    """And another one with another state."""
    agent = Agent(tmp_path / "a")
    assert Agent(tmp_path / "a").instance == agent.instance
    assert Agent(tmp_path / "b").instance != agent.instance


def test_a_host_is_what_it_was_first(tmp_path: Path) -> None:
    """libvirt may draw another UUID for it with each start; where it has none, one is drawn."""
    agent = Agent(tmp_path)
    assert agent.host("qemu:///system", HOST) == HOST
    assert Agent(tmp_path).host("qemu:///system", OTHER_HOST) == HOST
    drawn = agent.host("test:///default", "")
    assert is_uuid(drawn)
    assert Agent(tmp_path).host("test:///default", "") == drawn


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"instance": "zz", "hosts": {}}', "[" * 100_000])
def test_what_was_not_written_so_is_a_sentence(tmp_path: Path, text: str) -> None:
    """It says what to do."""
    (tmp_path / "agent.json").write_text(text)
    with pytest.raises(StateUnusable, match=r"agent\.json is not what was written .*remove it"):
        Agent(tmp_path)


def test_one_process_serves(tmp_path: Path) -> None:
    """A second one is told which directory it is; after the first another may."""
    second = pytest.raises(StateUnusable, match=f"serves from {tmp_path}")
    with serving_alone(tmp_path), second, serving_alone(tmp_path):
        pass
    with serving_alone(tmp_path):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(StateUnusable, match="may write state_dir"), serving_alone(tmp_path / "file"):
        pass
