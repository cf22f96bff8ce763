"""Wheels, by pip, from a directory of this machine."""

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.hypervisor.image.libraries import Wheels, unpack
from appliance.hypervisor.image.running import ImageError


def wheel(directory: Path, tag: str = "py3-none-any") -> Path:
    """A small one."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / f"kvmla_tried-1.0-{tag}.whl"
    info = "kvmla_tried-1.0.dist-info"
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("kvmla_tried/__init__.py", "X = 1\n")
        made.writestr("kvmla_tried-1.0.data/scripts/tool", "no\n")
        made.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: kvmla-tried\nVersion: 1.0\n")
        made.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        made.writestr(f"{info}/RECORD", "")
    return file


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place where pip looks."""
    place = tmp_path / "index"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(place))
    return place


def requirement(file: Path) -> str:
    """As requirements.lock has it."""
    return f"kvmla-tried==1.0 --hash=sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}\n"


def test_the_wheel_that_fits_debians_python_is_found_and_kept(tmp_path: Path, index: Path) -> None:
    """Built for an older C library it does; then no index is needed."""
    file = wheel(index, "cp311-cp311-manylinux_2_28_x86_64")
    wheels = Wheels(tmp_path / "wheels")
    (found,) = wheels.resolve(requirement(file))
    assert (found.version, found.file) == ("1.0", file.name)
    file.unlink()
    assert [kept.name for kept in wheels.fetch([found])] == [found.file]


def test_a_wheel_for_another_system_is_none(tmp_path: Path, index: Path) -> None:
    """A newer C library, for example."""
    file = wheel(index, "cp311-cp311-manylinux_2_39_x86_64")
    with pytest.raises(ImageError, match="kvmla-tried"):
        Wheels(tmp_path / "wheels").resolve(requirement(file))


def test_a_wheel_with_another_digest_is_refused(tmp_path: Path, index: Path) -> None:
    """Whatever its name is."""
    file = wheel(index)
    (found,) = Wheels(tmp_path / "first").resolve(requirement(file))
    with pytest.raises(ImageError, match="failed"):
        Wheels(tmp_path / "second").fetch([replace(found, sha256="ab" * 32)])


def test_wheels_are_laid_out_as_they_are_imported(tmp_path: Path) -> None:
    """Without what belongs elsewhere."""
    unpack([wheel(tmp_path)], tmp_path / "site")
    assert (tmp_path / "site/kvmla_tried/__init__.py").read_text() == "X = 1\n"
    assert not list((tmp_path / "site").rglob("tool"))
