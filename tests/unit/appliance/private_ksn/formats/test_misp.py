"""A MISP feed's folder."""

import json
from pathlib import Path

import pytest

from appliance.feeds.lines import Bad, Progress, SourceError
from appliance.private_ksn.formats.misp import read
from appliance.private_ksn.reputation import Reputation, Zone
from appliance.private_ksn.sources import Found, Words
from appliance.private_ksn.subjects import parse_any

WORD = Reputation(Zone.RED, "", "Campaign", "", 1_900_000_000)


def test_attributes_of_events_and_their_objects(tmp_path: Path) -> None:
    """Digests with and without names, addresses; what is not for detection or of another type is left."""
    attributes = [
        {"type": "sha256", "value": "ab" * 32},
        {"type": "filename|md5", "value": "a|b.exe|" + "cd" * 16, "to_ids": True},
        {"type": "url", "value": "http://bad.example/x", "to_ids": False},
        {"type": "comment", "value": "text"},
        {"type": "domain", "value": "a b"},
        "odd",
    ]
    within = {"Attribute": [{"type": "ip-dst", "value": "10.0.0.1"}]}
    event = {"info": "Campaign", "timestamp": "1900000000", "Attribute": attributes, "Object": [within]}
    (tmp_path / "manifest.json").write_text(json.dumps({"aa": {}, "bb": {}, "cc": {}, "../x": {}}))
    (tmp_path / "aa.json").write_text(json.dumps({"Event": event}))
    (tmp_path / "bb.json").write_text("[]")
    found = list(read(tmp_path, Words(Zone.RED), Progress()))
    good = [item for item in found if isinstance(item, Found)]
    assert good == [Found((parse_any(text).key,), WORD) for text in ("ab" * 32, "cd" * 16, "10.0.0.1")]
    bad = [item.where for item in found if isinstance(item, Bad)]
    assert bad == ["aa.json, attribute 5", "aa.json, attribute 6", "bb.json", "cc.json", "manifest.json"]


@pytest.mark.parametrize("manifest", [None, "[]", "{", "[" * 100_000])
def test_a_folder_without_a_manifest_is_refused(tmp_path: Path, manifest: str | None) -> None:
    """None, another document, half of one, one that is too deep."""
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(SourceError):
        list(read(tmp_path, Words(Zone.RED), Progress()))
