"""Putting the events together."""

from pathlib import Path

from appliance.config_events import EventSettings
from appliance.events_assembly import assemble_events
from appliance.state.events import FILE


async def test_the_settings_reach_the_parts(tmp_path: Path) -> None:
    """The file lies in the directory, as large as it may be."""
    witness = assemble_events(EventSettings(max_mib=1, guest_daily_mib=1), tmp_path)
    witness.started("1.0")
    await witness.log.close()
    assert (tmp_path / FILE).exists()
    again = assemble_events(EventSettings(), tmp_path)
    assert again.log.store.last == 1
    await again.log.close()
