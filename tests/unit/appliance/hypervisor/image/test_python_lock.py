"""Which libraries of requirements.lock an image needs."""

import re
import subprocess
from pathlib import Path

import pytest

from appliance.hypervisor.image.lock import SHIPPED, ImageLock, Library
from appliance.hypervisor.image.locking import EXTRAS
from appliance.hypervisor.image.python_lock import part_of
from appliance.hypervisor.image.running import ImageError

ROOT = Path(__file__).parents[5]
PROJECT = """
[project]
dependencies = ["lmdb>=3"]
[project.optional-dependencies]
appliance = ["aiohttp>=3"]
dev = ["pytest"]
"""
LOCK = """#
# made by pip-compile
#
aiohttp==3.1 \\
    --hash=sha256:aa
    # via kvm-light-agent (pyproject.toml)
idna==3.2 \\
    --hash=sha256:bb
    # via yarl
lmdb==3.0 \\
    --hash=sha256:cc
    # via kvm-light-agent (pyproject.toml)
pytest==9.0 \\
    --hash=sha256:dd
    # via kvm-light-agent (pyproject.toml)
yarl==1.2 \\
    --hash=sha256:ee
    # via
    #   aiohttp
    #   pytest

# The following packages are considered to be unsafe in a requirements file:
pip==26.3 \\
    --hash=sha256:ff
    # via pip-tools
"""


def names(text: str) -> list[str]:
    """Of the libraries in it."""
    return re.findall(r"^([\w.-]+)==", text, re.MULTILINE)


def test_an_extra_brings_what_it_asks_for_and_what_those_need() -> None:
    """And nothing of another extra."""
    assert names(part_of(LOCK, PROJECT, ["appliance"])) == ["aiohttp", "idna", "lmdb", "yarl"]


def test_without_an_extra_it_is_the_base() -> None:
    """With the hashes, as pip wants them."""
    assert part_of(LOCK, PROJECT, []).splitlines()[:2] == ["lmdb==3.0 \\", "    --hash=sha256:cc"]


def test_a_lock_that_lacks_what_is_asked_for_is_a_sentence() -> None:
    """It names what is missing and what writes the lock."""
    with pytest.raises(ImageError, match="lacks structlog: `make lock`"):
        part_of(LOCK, PROJECT.replace('"aiohttp>=3"', '"structlog"'), ["appliance"])


def printed(*extras: str) -> subprocess.CompletedProcess[str]:
    """What it prints as a program, by a Python that has nothing installed."""
    run = "runpy.run_module('appliance.hypervisor.image.python_lock', run_name='__main__', alter_sys=True)"
    code = f"import runpy, sys; sys.path.insert(0, '.'); {run}"
    words = ["/usr/bin/python3", "-I", "-S", "-c", code, *extras]
    return subprocess.run(words, check=False, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_it_is_printed_before_anything_is_installed() -> None:
    """By the standard library alone: the base of a guest, or with extras."""
    guest = names(printed().stdout)
    assert {"grpcio", "lmdb"} <= set(guest)
    assert "aiohttp" not in guest
    assert set(guest) < set(names(printed("appliance", "libvirt").stdout))


def test_an_extra_that_is_none_is_a_sentence() -> None:
    """With those that there are."""
    ran = printed("apliance")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("no extra 'apliance': there are appliance, libvirt, disks")


@pytest.mark.parametrize("recipe", sorted(EXTRAS))
def test_the_shipped_lock_of_images_has_the_libraries_of_requirements_lock(recipe: str) -> None:
    """What is tested here is what is in an image. `svm-host image lock --source .` mends it."""
    part = part_of(
        (ROOT / "requirements.lock").read_text(), (ROOT / "pyproject.toml").read_text(), EXTRAS[recipe]
    )
    wanted = dict(re.findall(r"^([\w.-]+)==(\S+)", part, re.MULTILINE))
    pins: tuple[Library, ...] = ImageLock.load(SHIPPED).libraries[recipe]
    assert {pin.name.replace("_", "-").lower(): pin.version for pin in pins} == wanted
    assert all(pin.sha256 in part for pin in pins)
