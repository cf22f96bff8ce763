"""Rows of URLhaus's CSV."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.feeds.lines import Bad, Progress, SourceError
from appliance.feeds.urlhaus import Listed, read
from tests.support.properties import patient

HEADER = "# id,dateadded,url,url_status,threat"


def test_rows_by_the_header(tmp_path: Path) -> None:
    """What the header names is taken, what it does not name is empty; a short row is bad."""
    rows = '"1","2030-03-17 17:46:40","http://a/","online","malware"\n"2"\n'
    (tmp_path / "f").write_text(f"##\n{HEADER}\n{rows}# url,id\nhttp://b/,3\n")
    assert list(read(tmp_path / "f", Progress())) == [
        Listed(3, "http://a/", "malware", 1_900_000_000),
        Bad("line 4", "it has 1 fields; the header has 5"),
        Listed(6, "http://b/", "", 0),
    ]


@given(content=st.binary(max_size=300) | st.text('#url,id"\n ', max_size=80).map(str.encode))
@patient
def test_no_content_makes_it_fail_otherwise(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """A row, a bad line, or SourceError."""
    path = tmp_path_factory.mktemp("feed") / "f"
    path.write_bytes(content)
    with suppress(SourceError):
        assert all(isinstance(found, Listed | Bad) for found in read(path, Progress()))
