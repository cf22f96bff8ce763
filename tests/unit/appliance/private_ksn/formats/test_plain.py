"""Plain lists."""

from pathlib import Path

from appliance.feeds.lines import Bad, Progress
from appliance.private_ksn.formats.plain import read
from appliance.private_ksn.reputation import Reputation, Zone
from appliance.private_ksn.sources import Found, Words
from appliance.private_ksn.subjects import parse_any


def test_lines_of_all_kinds(tmp_path: Path) -> None:
    """The name, behind blanks or a tab, is a threat where the zone is harm, else a program's; comments go."""
    (tmp_path / "l").write_text(f"# ours\n{'AB' * 32} Some Name\n\nbad.example\n{'a' * 63}\n{'z' * 64}\n")
    key, domain = parse_any("ab" * 32).key, parse_any("bad.example").key
    red = list(read(tmp_path / "l", Words(Zone.RED, category="c"), Progress()))
    assert red[:2] == [
        Found((key,), Reputation(Zone.RED, "Some Name", "c")),
        Found((domain,), Reputation(Zone.RED, "", "c")),
    ]
    assert [item.where for item in red[2:] if isinstance(item, Bad)] == ["line 5", "line 6"]
    (tmp_path / "t").write_text(f"{'ab' * 32}\tSome Name \n")
    assert list(read(tmp_path / "t", Words(Zone.RED), Progress())) == [
        Found((key,), Reputation(Zone.RED, "Some Name"))
    ]
    green = next(read(tmp_path / "l", Words(Zone.GREEN), Progress()))
    assert green == Found((key,), Reputation(Zone.GREEN, name="Some Name"))
