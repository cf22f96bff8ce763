"""The table of figures, and the one that operators read."""

import re
from pathlib import Path

from appliance.console.figures import FIGURES

OPERATIONS = Path(__file__).parents[4] / "docs" / "operations.md"


def test_the_documentation_has_the_same_table() -> None:
    """Every figure stands in docs/operations.md with its kind and its meaning, and no other does."""
    rows = re.findall(r"^\| `([a-z_]+)` \| (counter|gauge) \| (.+) \|$", OPERATIONS.read_text(), re.MULTILINE)
    assert {name: (kind, meaning) for name, kind, meaning in rows} == {
        name: (figure.kind, figure.help) for name, figure in FIGURES.items()
    }


def test_the_alerts_are_about_figures_that_there_are() -> None:
    """An alert that was copied from the documentation matches something."""
    alerts = re.findall(r"kvmla_([a-z_]+)", OPERATIONS.read_text().partition("Worth an alert")[2])
    assert alerts
    for name in alerts:
        figure = FIGURES[name.removesuffix("_total")]
        assert name.endswith("_total") == (figure.kind == "counter")
