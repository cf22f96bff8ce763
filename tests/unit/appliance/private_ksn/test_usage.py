"""Usage statistics, checked and within a budget."""

import json
from pathlib import Path

import pytest

from appliance.private_ksn.usage import FILE, MAX_FIGURES, OLDER, BadFigures, Usage, parse_figures


def test_figures_are_numbers_and_short_texts() -> None:
    """And come back as they were."""
    figures = {"asked": 3, "share.of_hits": 0.5, "version": "1.0", "extended": True}
    assert parse_figures(json.dumps(figures).encode()) == figures


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"a": []}',
        b'{"a": NaN}',
        b'{"a b": 1}',
        b'{"a": null}',
        json.dumps({"a": "x" * 201}).encode(),
        json.dumps({f"n{number}": 1 for number in range(MAX_FIGURES + 1)}).encode(),
    ],
)
def test_anything_else_is_refused(body: bytes) -> None:
    """No JSON, too deep, nested, not finite, too many, too long."""
    with pytest.raises(BadFigures):
        parse_figures(body)


def test_the_older_half_goes(tmp_path: Path) -> None:
    """The newest is always there, and both files together stay within the budget."""
    for number in range(100):
        # A new one each time, as after a restart: it goes on where the file stands.
        Usage(tmp_path, 1000).append({"number": number}, "svm-1", 7)
        sizes = [path.stat().st_size for path in tmp_path.iterdir()]
        assert sum(sizes) <= 1000
    assert json.loads((tmp_path / FILE).read_text().splitlines()[-1])["figures"] == {"number": 99}
    assert (tmp_path / OLDER).exists()
