"""Whether the packet filter guards the doors."""

from dataclasses import replace

from appliance.config import Settings
from appliance.config_doors import ServerSettings
from appliance.doctor.findings import Finding
from appliance.doctor.packet_filter import packet_filter_findings
from appliance.packet_filter.nft import Loaded, PacketFilterError
from appliance.packet_filter.rules import mark

ON_TCP = Settings(server=ServerSettings(listen="tcp:0.0.0.0:7443"))


def finding(found: Loaded | None, settings: Settings = ON_TCP) -> Finding:
    """What root is told of a table in the kernel."""
    (said,) = packet_filter_findings(settings, is_root=True, look=lambda: found)
    return said


def loaded(dropped: dict[str, int]) -> Loaded:
    """A table of these settings, whole."""
    return Loaded(mark(ON_TCP), dropped, frozenset({"guests"}))


def test_rules_of_these_settings_are_good_and_tell_what_they_dropped() -> None:
    """By door and reason."""
    assert finding(loaded({"guests_too_fast": 0})) == Finding(
        "packet filter", True, "guards the doors; nothing had to be dropped"
    )
    said = finding(loaded({"guests_too_many": 0, "guests_too_fast": 4711})).said
    assert said == "guards the doors; dropped: 4,711 guests too fast"


def test_where_there_are_none_it_is_said_what_to_do() -> None:
    """It is no fault: another firewall may do that."""
    said = finding(None)
    assert said.good is None
    assert "`systemctl enable --now svm-packet-filter`" in said.said


def test_rules_of_other_settings_are_amiss() -> None:
    """They may guard other ports than those that are open."""
    said = finding(Loaded("0123456789abcdef"))
    assert said.good is False
    assert "`systemctl restart svm-packet-filter`" in said.said


def test_rules_that_were_taken_out_are_amiss() -> None:
    """Though the table is there, and says that it is of these settings."""
    said = finding(replace(loaded({}), guarded=frozenset()))
    assert said.good is False
    assert "rules of guests were taken out" in said.said


def test_who_cannot_look_is_told_so() -> None:
    """A user who is not root, and root where nft is missing."""

    def look() -> Loaded:
        raise PacketFilterError("nft is not installed: `apt-get install nftables`")

    (said,) = packet_filter_findings(ON_TCP, is_root=False, look=look)
    assert (said.good, said.said.endswith("run this as root")) == (None, True)
    (said,) = packet_filter_findings(ON_TCP, is_root=True, look=look)
    assert (said.good, "apt-get install nftables" in said.said) == (None, True)


def test_unix_sockets_need_none() -> None:
    """Nothing is looked at, and nothing is said."""
    assert list(packet_filter_findings(Settings(), is_root=True, look=lambda: None)) == []
