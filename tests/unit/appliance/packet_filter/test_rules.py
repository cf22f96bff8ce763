"""The rules by the settings."""

from dataclasses import replace

from appliance.config import Settings
from appliance.config_doors import ServerSettings
from appliance.config_limits import Limits
from appliance.packet_filter.rules import mark, rules

SERVER = ServerSettings(
    listen="tcp:10.113.0.2:7443", enrolment="[fd00::2]:7444", admin_listen="svm.example:7445"
)
SETTINGS = Settings(server=SERVER, limits=Limits(connections_per_address=70, new_connections_per_second=30))


def test_each_door_has_its_own_by_the_figures_of_the_settings() -> None:
    """Two doors of one port at two addresses are two."""
    text = rules(SETTINGS)
    assert "\t\tip daddr 10.113.0.2 tcp dport 7443 tcp flags" in text
    assert "\t\tip6 daddr fd00::2 tcp dport 7444 tcp flags" in text
    assert "\t\ttcp dport 7445 tcp flags" in text
    assert text.count("limit rate over 30/second burst 70 packets") == text.count("ct count over 70 ") == 6


def test_a_mark_tells_rules_of_other_settings_apart() -> None:
    """The same settings have the same one, and it stands in what the kernel is given."""
    assert f'comment "{mark(SETTINGS)}"' in rules(SETTINGS)
    moved = replace(SETTINGS, server=replace(SERVER, enrolment="[fd00::2]:8444"))
    slower = replace(SETTINGS, limits=replace(SETTINGS.limits, new_connections_per_second=29))
    assert len({mark(SETTINGS), mark(moved), mark(slower), ""}) == 4
    assert mark(replace(SETTINGS, scanning=replace(SETTINGS.scanning, workers=3))) == mark(SETTINGS)


def test_where_all_doors_are_unix_sockets_nothing_is_filtered() -> None:
    """What was there is taken away."""
    assert mark(Settings()) == ""
    assert [line for line in rules(Settings()).splitlines() if not line.startswith("#")] == [
        "table inet kvmla",
        "delete table inet kvmla",
    ]
