"""Programs that are run for an image."""

import pytest

from appliance.hypervisor.image.running import ImageError, run


def test_what_a_program_prints_is_returned() -> None:
    """With the variables that it is given."""
    assert run(["sh", "-c", "echo $WORD"], {"WORD": "here"}) == "here\n"


def test_a_program_that_fails_is_a_sentence() -> None:
    """It has the exit code and what the program complained about."""
    with pytest.raises(ImageError, match=r"sh failed \(3\): no such thing"):
        run(["sh", "-c", "echo no such thing >&2; exit 3"])


def test_a_program_that_is_not_installed_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package may be called otherwise."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ImageError, match="qemu-img is not installed: `apt-get install qemu-utils`"):
        run(["qemu-img", "--version"])
