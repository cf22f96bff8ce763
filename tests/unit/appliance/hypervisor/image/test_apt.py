"""Packages by apt, from a mirror on this machine's own disk."""

import hashlib
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.hypervisor.image.apt import Apt
from appliance.hypervisor.image.repository import make_repository
from appliance.hypervisor.image.running import ImageError


def deb(directory: Path, name: str, version: str, more: str = "") -> Path:
    """A package with nothing in it."""
    root = directory / f"{name}-{version}"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: a <a@b.invalid>\n"
        f"Description: none\n{more}"
    )
    file = directory / f"{name}_{version.replace(':', '%3a')}_amd64.deb"
    subprocess.run(["dpkg-deb", "--build", root, file], check=True, capture_output=True)
    return file


class Mirror:
    """A flat one. It is this machine's own configuration of apt as far as `apt` sees."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.number = 0
        self.sources = directory / "etc"
        self.sources.mkdir()
        configuration = directory / "apt.conf"
        configuration.write_text(
            f'Dir::Etc::SourceList "{self.sources}/sources.list";\n'
            f'Dir::Etc::SourceParts "{self.sources}/none";\n'
        )
        monkeypatch.setenv("APT_CONFIG", str(configuration))

    def holds(self, *files: Path, suite: str = "bookworm") -> None:
        """From now on it has these and nothing else."""
        self.number += 1
        place = self.directory / f"mirror-{self.number}"
        make_repository(place, files, suite)
        (self.sources / "sources.list").write_text(f"deb [trusted=yes] copy:{place} ./\n")


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    """With an essential package, one that needs another, and a kernel."""
    found = Mirror(tmp_path, monkeypatch)
    found.holds(
        deb(tmp_path, "apt", "1"),
        deb(tmp_path, "base", "1:2", "Essential: yes\n"),
        deb(tmp_path, "tool", "3", "Depends: library\n"),
        deb(tmp_path, "library", "4"),
        deb(tmp_path, "other", "5"),
        deb(tmp_path, "linux-image-any", "6", "Depends: linux-image-6.1-any\n"),
        deb(tmp_path, "linux-image-6.1-any", "6.1-1"),
    )
    return found


def apt(directory: Path) -> Apt:
    """With lists that are new."""
    found = Apt(directory / "state", "bookworm")
    found.update()
    return found


def test_what_is_needed_is_found_whatever_is_installed_here(tmp_path: Path, mirror: Mirror) -> None:
    """The essential ones, what is asked for, and its dependencies, by version and digest; twice the same."""
    one = apt(tmp_path)
    found = one.resolve(["tool"])
    assert [(pin.name, pin.version) for pin in found] == [
        ("apt", "1"),
        ("base", "1:2"),
        ("library", "4"),
        ("tool", "3"),
    ]
    file = tmp_path / "mirror-1" / found[1].file
    assert found[1].sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    one.fetch(found)
    assert one.resolve(["tool"]) == found


def test_packages_are_brought_once(tmp_path: Path, mirror: Mirror) -> None:
    """The second time no mirror is needed."""
    one = apt(tmp_path)
    found = one.resolve(["tool"])
    files = one.fetch(found)
    assert [file.name for file in files] == [pin.file for pin in found]
    mirror.holds(deb(tmp_path / "new", "tool", "9"))
    assert one.fetch(found) == files


def test_a_mirror_that_has_moved_on_is_a_sentence(tmp_path: Path, mirror: Mirror) -> None:
    """It says what to do."""
    one = apt(tmp_path)
    found = one.resolve(["tool"])
    mirror.holds(deb(tmp_path / "new", "tool", "9"))
    with pytest.raises(
        ImageError, match=r"'3' for 'tool' was not found.*`svm-host image lock` writes a lock"
    ):
        one.fetch([pin for pin in found if pin.name == "tool"])


def test_a_package_with_another_digest_is_refused(tmp_path: Path, mirror: Mirror) -> None:
    """Though name and version are right."""
    one = apt(tmp_path)
    wrong = replace(one.resolve(["tool"])[0], sha256="ab" * 32)
    with pytest.raises(ImageError, match=r"apt_1_amd64\.deb is not what the lock says"):
        one.fetch([wrong])


def test_the_kernel_is_the_one_that_its_name_stands_for(tmp_path: Path, mirror: Mirror) -> None:
    """With its own version."""
    found = apt(tmp_path).kernel("linux-image-any")
    assert (found.name, found.version) == ("linux-image-6.1-any", "6.1-1")


def test_a_name_that_stands_for_no_kernel_is_a_sentence(tmp_path: Path, mirror: Mirror) -> None:
    """By that name."""
    with pytest.raises(ImageError, match="tool depends on no kernel"):
        apt(tmp_path).kernel("tool")


def test_a_machine_of_another_system_has_to_name_a_mirror(tmp_path: Path, mirror: Mirror) -> None:
    """Its packages would make another image."""
    mirror.holds(deb(tmp_path / "new", "tool", "9"), suite="noble")
    with pytest.raises(ImageError, match="knows no bookworm of Debian: name a mirror of it by --mirror URL"):
        apt(tmp_path)
