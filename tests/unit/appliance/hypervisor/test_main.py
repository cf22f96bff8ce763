"""`svm-host` as it is installed."""

from importlib.metadata import entry_points

from appliance.hypervisor.__main__ import main


def test_the_program_is_installed_under_its_name() -> None:
    """What pip puts in the path is this function."""
    (found,) = entry_points(group="console_scripts", name="svm-host")
    assert found.load() is main
