"""Which version runs."""

from appliance.version import program_version


def test_an_installed_distribution_tells_its_version() -> None:
    """The version is that of the distribution's metadata."""
    assert program_version("pytest").split(".")[0].isdigit()


def test_a_bare_checkout_has_none() -> None:
    """A program that was never installed still starts."""
    assert program_version("no-such-distribution") == "not installed"
