"""Putting together what is remembered of guests."""

from dataclasses import replace
from pathlib import Path

from appliance.events_assembly import assemble_events, assemble_exposure, assemble_witness
from appliance.sight import TenantsOfPolicies
from appliance.state.events import FILE
from tests.support.svm import settings_in


class Nobody:
    """No tenant has a policy."""

    def scopes_by_tenant(self) -> dict[str, int]:
        """None."""
        return {}


async def test_everything_lies_in_the_state_directory(tmp_path: Path) -> None:
    """And what was noted is there again."""
    settings = settings_in(tmp_path)
    log, exposure = assemble_events(settings), assemble_exposure(settings)
    assemble_witness(settings, log, exposure, TenantsOfPolicies(Nobody())).started("1.0")
    await exposure.close()
    await log.close()
    assert {FILE, "exposure.lmdb"} <= {path.name for path in (tmp_path / "state").iterdir()}
    small = replace(settings, events=replace(settings.events, max_mib=1))
    log = assemble_events(small)
    assert log.store.last == 1
    await log.close()
