"""Putting together what is remembered of guests."""

from dataclasses import replace
from pathlib import Path

from appliance.events_assembly import assemble_events, assemble_exposure, assemble_witness
from appliance.state.environment import StateEnvironment
from appliance.state.events import FILE
from appliance.state.tenant_names import TenantNames
from tests.support.svm import settings_in


async def test_everything_lies_in_the_state_directory(tmp_path: Path) -> None:
    """And what was noted is there again."""
    settings = settings_in(tmp_path)
    log, exposure = assemble_events(settings), assemble_exposure(settings)
    environment = StateEnvironment.open(tmp_path)
    assemble_witness(settings, log, exposure, TenantNames(environment)).started("1.0")
    environment.close()
    await exposure.close()
    await log.close()
    assert {FILE, "exposure.lmdb"} <= {path.name for path in (tmp_path / "state").iterdir()}
    small = replace(settings, events=replace(settings.events, max_mib=1))
    log = assemble_events(small)
    assert log.store.last == 1
    await log.close()
