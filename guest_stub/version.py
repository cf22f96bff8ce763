"""Which version of the guest stub runs."""

from importlib.metadata import PackageNotFoundError, version


def program_version(distribution: str = "kvm-light-agent") -> str:
    """The version of the installed distribution, or "not installed" in a bare checkout."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"
