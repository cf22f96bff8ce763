"""The seed of an SVM."""

import json
from pathlib import Path
from typing import Any

import pytest

from appliance.first_boot.disks import FirstBootError
from appliance.first_boot.seed import MAX_BYTES, NAME, read_seed

GOOD: dict[str, Any] = {
    "version": 1,
    "name": "kvmla-svm",
    "guests": {
        "mac": "52:54:00:00:00:01",
        "address": "10.113.0.2/24",
        "dhcp": ["10.113.0.16", "10.113.0.254"],
    },
    "host": {"mac": "52:54:00:00:00:02", "address": "10.113.1.2/24"},
    "init": ["--name", "kvmla-svm"],
    "settings": "[server]\n",
    "ssh_keys": ["ssh-ed25519 AAAA alice@example"],
}


def test_all_of_it_is_read(tmp_path: Path) -> None:
    """What is not said is not there."""
    (tmp_path / NAME).write_text(json.dumps(GOOD))
    seed = read_seed(tmp_path)
    assert seed is not None
    assert seed.guests is not None
    assert seed.host is not None
    assert (seed.name, seed.init, seed.settings) == ("kvmla-svm", ("--name", "kvmla-svm"), "[server]\n")
    assert str(seed.guests.address) == "10.113.0.2/24"
    assert seed.guests.dhcp is not None
    assert seed.host.dhcp is None


def test_a_disk_without_it_is_none_of_ours(tmp_path: Path) -> None:
    """cloud-init may read the rest."""
    assert read_seed(tmp_path) is None


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"name": "a b\n"},
        {"name": 7},
        {"settings": None},
        {"init": "words"},
        {"init": [1]},
        {"init": ["a"] * 65},
        {"ssh_keys": ["ssh-ed25519 AAAA\nssh-ed25519 BBBB"]},
        {"guests": {"mac": "52:54:00:00:00:01\n[Match]", "address": "10.0.0.1/24"}},
        {"guests": {"mac": "52:54:00:00:00:01", "address": "nowhere"}},
        {"guests": []},
    ],
)
def test_what_cannot_be_used_is_one_sentence(tmp_path: Path, change: dict[str, Any]) -> None:
    """Nothing of it gets into a file of settings or a command line."""
    (tmp_path / NAME).write_text(json.dumps(GOOD | change))
    with pytest.raises(FirstBootError, match=r"svm-seed\.json of the seed cannot be used"):
        read_seed(tmp_path)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"[" * 100_000, b" " * (MAX_BYTES + 1)])
def test_what_is_no_seed_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    """However large or deep."""
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(FirstBootError, match="cannot be used"):
        read_seed(tmp_path)
