"""URLhaus's CSV."""

from pathlib import Path

import pytest

from appliance.feeds.lines import Bad, Progress, SourceError
from appliance.private_ksn.formats.urlhaus import read
from appliance.private_ksn.reputation import Reputation, Zone
from appliance.private_ksn.sources import Found, Words
from appliance.private_ksn.subjects import parse_any

NEW = "# id,dateadded,url,url_status,last_online,threat,tags,urlhaus_link,reporter"
OLD = "# id,dateadded,url,url_status,threat,tags,urlhaus_link,reporter"
WORD = Reputation(Zone.RED, "", "malware_download", "", 1_900_000_000)


@pytest.mark.parametrize(("header", "online"), [(NEW, '"2030",'), (OLD, ""), (NEW.strip("# "), '"2030",')])
def test_columns_go_by_the_header(tmp_path: Path, header: str, online: str) -> None:
    """With last_online and without it; a URL without a path is that of the root; a bad line is named."""
    urls = ["http://bad.example/x?a=1", "http://bad.example", "nonsense"]
    rows = [f'"1","2030-03-17 17:46:40","{url}","online",{online}"malware_download","","",""' for url in urls]
    (tmp_path / "f").write_text("\n".join(["##########", "# About", header, "#", *rows, '"1","2"']))
    found = list(read(tmp_path / "f", Words(Zone.RED), Progress()))
    keys = [parse_any(url).key for url in (urls[0], "http://bad.example/")]
    assert found[:2] == [Found((key,), WORD) for key in keys]
    assert [item.where for item in found[2:] if isinstance(item, Bad)] == ["line 7", "line 8"]


def test_without_a_header_nothing_is_guessed(tmp_path: Path) -> None:
    """The columns of a file whose header is missing are not known."""
    (tmp_path / "f").write_text('"1","2030","http://bad.example/x"\n')
    with pytest.raises(SourceError, match="no header line"):
        list(read(tmp_path / "f", Words(Zone.RED), Progress()))
