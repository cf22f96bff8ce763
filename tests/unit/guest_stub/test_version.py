"""Tests of the version."""

import tomllib

from guest_stub.version import VERSION
from tests.support.apart import ROOT


def test_it_is_that_of_the_distribution() -> None:
    """The stub says the version that it is packaged with."""
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION
