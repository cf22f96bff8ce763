"""Images and what lies under them."""

import errno
import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from appliance.hypervisor.disks.chain import Chain, open_chain
from appliance.hypervisor.disks.headers import BadImage
from appliance.hypervisor.disks.opening import Reach
from tests.support.disk_images import converted, empty, overlay, tool


def chain(path: Path, image_format: str = "") -> Chain:
    """It, closed already."""
    with ExitStack() as stack:
        return open_chain(path, image_format, stack)


def test_a_chain_is_opened_from_the_lowest_layer(tmp_path: Path) -> None:
    """Names are relative to the file that they stand in."""
    empty(tmp_path / "base.raw", 1)
    (tmp_path / "above").mkdir()
    middle = overlay(tmp_path / "base.raw", tmp_path / "above" / "middle.qcow2", "raw")
    tool("qemu-img", "rebase", "-u", "-F", "raw", "-b", "../base.raw", middle)
    top = overlay(middle, tmp_path / "top.qcow2", "qcow2")
    found = chain(top)
    assert [(each.format, each.paths[0].name) for each in found.layers] == [
        ("raw", "base.raw"),
        ("qcow2", "middle.qcow2"),
        ("qcow2", "top.qcow2"),
    ]


def test_an_image_that_lies_under_itself_is_refused(tmp_path: Path) -> None:
    """Over a link too."""
    a = converted(empty(tmp_path / "x.raw", 1), tmp_path / "a.qcow2")
    b = overlay(a, tmp_path / "b.qcow2", "qcow2")
    (tmp_path / "link.qcow2").symlink_to(b)
    tool("qemu-img", "rebase", "-u", "-F", "qcow2", "-b", tmp_path / "link.qcow2", a)
    with pytest.raises(BadImage, match="its chain of backing files is a ring"):
        chain(b)


def test_what_an_image_names_is_no_way_into_the_host(tmp_path: Path) -> None:
    """Whoever uploads an image may name any file in it; the sentence says which, and what to do."""
    (tmp_path / "uploads").mkdir()
    top = overlay(empty(tmp_path / "of-another.raw", 1), tmp_path / "uploads" / "top.qcow2", "raw")
    with pytest.raises(BadImage, match=r"of-another.raw does not lie in the image's directory .*/uploads"):
        chain(top)
    with ExitStack() as stack:
        assert len(open_chain(top, "", stack, Reach(anywhere=True)).layers) == 2
    for name in ("/proc/self/mem", "/proc/kmsg"):
        tool("qemu-img", "rebase", "-u", "-F", "raw", "-b", name, top)
        with pytest.raises(BadImage, match=f"{name} .*: it lies in /proc"):
            chain(top)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the disk below it has a bad sector."""

    def fail(_fd: int, _size: int, _at: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("appliance.hypervisor.disks.chain.os.pread", fail)
    with pytest.raises(BadImage, match=r"a.raw: it cannot be read: Input/output error"):
        chain(empty(tmp_path / "a.raw", 1))


def test_what_is_missing_or_no_file_is_named(tmp_path: Path) -> None:
    """A pipe on which nobody writes keeps nobody waiting."""
    base = empty(tmp_path / "base.raw", 1)
    top = overlay(base, tmp_path / "top.qcow2", "raw")
    base.unlink()
    with pytest.raises(BadImage, match=r"base.raw cannot be opened: No such file") as error:
        chain(top)
    assert str(error.value).startswith(f"{base} (which {top} names as what lies under it): ")
    os.mkfifo(base)
    with pytest.raises(BadImage, match="it is no file and no block device"):
        chain(top)
    tool("qemu-img", "rebase", "-u", "-F", "raw", "-b", "nbd://127.0.0.1:1/x", top)
    with pytest.raises(BadImage, match="no file of this host"):
        chain(top)


def test_an_image_without_a_byte_is_named(tmp_path: Path) -> None:
    """A golden image that was not copied is not taken for an empty disk; of the top nobody else is named."""
    for name in ("a.qcow2", "a.raw", "a.img"):
        (tmp_path / name).touch()
        with pytest.raises(BadImage, match=f"^{tmp_path / name}: it has 0 bytes"):
            chain(tmp_path / name)


def test_what_a_guest_may_have_written_leads_nowhere(tmp_path: Path) -> None:
    """A raw disk may hold the header of a qcow2 that names a file of the host."""
    secret = empty(tmp_path / "secret", 1)
    disk = overlay(secret, tmp_path / "disk.img", "raw")
    with pytest.raises(BadImage, match="a guest can write that to a raw disk"):
        chain(disk)
    assert [each.format for each in chain(disk, "qcow2").layers] == ["raw", "qcow2"]
    assert [each.format for each in chain(disk, "raw").layers] == ["raw"]


def test_a_format_that_only_the_first_bytes_tell_is_marked(tmp_path: Path) -> None:
    """By its name it is known."""
    image = converted(empty(tmp_path / "x.raw", 1), tmp_path / "a.qcow2")
    assert not chain(image).top.is_guessed
    image.rename(tmp_path / "a.img")
    assert chain(tmp_path / "a.img").top.is_guessed


def test_a_vmdk_of_several_files_is_one_layer(tmp_path: Path) -> None:
    """All of them are opened."""
    image = converted(
        empty(tmp_path / "x.raw", 3), tmp_path / "a.vmdk", "-o", "subformat=twoGbMaxExtentSparse"
    )
    found = chain(image).top
    assert [path.name for path in found.paths] == ["a-s001.vmdk"]
    assert found.extents == (("sparse", 3 << 11, 0),)
