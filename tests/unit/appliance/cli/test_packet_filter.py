"""svm packet-filter."""

from pathlib import Path

import pytest

from appliance.config import load
from appliance.packet_filter.nft import PacketFilterError
from appliance.packet_filter.rules import rules
from tests.support.commands import svm


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Settings with a door on TCP."""
    file = tmp_path / "svm.toml"
    file.write_text('[server]\nenrolment = "10.113.0.2:7444"\n')
    return file


def test_the_rules_are_printed_by_the_settings(config: Path) -> None:
    """As nft reads them; nothing is done."""
    ran = svm("packet-filter", "--config", config)
    assert (ran.code, ran.out, ran.err) == (0, rules(load(config, {})), "")
    assert "ip daddr 10.113.0.2 tcp dport 7444" in ran.out
    assert svm("packet-filter", environ={"KVMLA_CONFIG": str(config)}).out == ran.out


def test_they_are_put_in_place_where_that_is_wanted(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is said what they guard: without settings of its own, an SVM has no door that needs it."""
    given: list[str] = []
    monkeypatch.setattr("appliance.cli.packet_filter.apply", given.append)
    ran = svm("packet-filter", "--config", config, "--apply")
    assert (ran.code, ran.out, given) == (0, "guarded now: enrolment\n", [rules(load(config, {}))])
    assert svm("packet-filter", "--apply").out == "nothing is filtered: all doors are unix sockets\n"


def test_what_keeps_them_out_is_one_line(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And exit code 2."""

    def refuse(text: str) -> None:
        raise PacketFilterError("nft is not installed: `apt-get install nftables`")

    monkeypatch.setattr("appliance.cli.packet_filter.apply", refuse)
    ran = svm("packet-filter", "--config", config, "--apply")
    assert (ran.code, ran.err) == (2, "svm: nft is not installed: `apt-get install nftables`\n")
