"""What an image names is looked at before it is opened, and followed no further than the operator says."""

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from appliance.hypervisor.disks.headers import BadImage
from appliance.hypervisor.disks.opening import Opening, Reach
from tests.support.disk_images import empty


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """It closes what was opened."""
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image in a directory of its own."""
    (tmp_path / "images" / "below").mkdir(parents=True)
    empty(tmp_path / "outside", 1)
    return empty(tmp_path / "images" / "top.qcow2", 1)


def test_what_lies_beside_the_image_is_opened(image: Path, stack: ExitStack) -> None:
    """In directories beneath its own, too; over a link to it as well."""
    link = image.parents[1] / "link"
    link.symlink_to(image)
    opening = Opening(Reach(), stack)
    top = opening.open(link)
    below = opening.open(empty(image.parent / "below" / "base", 1))
    assert [os.path.samestat(os.fstat(top), image.stat()), os.fstat(below).st_size] == [True, 1 << 20]
    assert os.get_inheritable(below) is False


@pytest.mark.parametrize("name", ["../outside", "below/link", "below/up/outside"])
def test_what_lies_elsewhere_is_not_opened(image: Path, stack: ExitStack, name: str) -> None:
    """By a path, a link, or a directory that is one. The operator may say that it is right."""
    (image.parent / "below" / "link").symlink_to(image.parents[1] / "outside")
    (image.parent / "below" / "up").symlink_to(image.parents[1])
    opening = Opening(Reach(), stack)
    opening.open(image)
    with pytest.raises(BadImage, match=r"outside does not lie in the image's directory .*--backing-anywhere"):
        opening.open(image.parent / name)
    for reach in (Reach(anywhere=True), Reach(named=(image.parents[1] / "outside", Path("/none")))):
        opening = Opening(reach, stack)
        opening.open(image)
        assert opening.open(image.parent / name) > 0


def test_a_device_is_opened_where_the_operator_names_it(image: Path, stack: ExitStack) -> None:
    """It is no matter that it lies beside: a device is never a part of an image by itself."""
    device = image.parent / "device"
    os.mknod(device, stat.S_IFBLK | 0o600, os.makedev(240, 77))  # of no driver: it fails once it is opened
    opening = Opening(Reach(), stack)
    opening.open(image)
    with pytest.raises(BadImage, match="device is a device, and whoever made"):
        opening.open(device)
    opening = Opening(Reach(named=(device,)), stack)
    opening.open(image)
    with pytest.raises(BadImage, match="device cannot be opened: No such device"):
        opening.open(device)


@pytest.mark.parametrize("reach", [Reach(), Reach(anywhere=True)])
def test_what_is_no_image_is_never_opened(image: Path, stack: ExitStack, reach: Reach) -> None:
    """No pipe's writer is woken, no device touched, and what the kernel tells not consumed."""
    pipe = image.parent / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/null"), image.parent):
        with pytest.raises(BadImage, match="no file and no block device"):
            Opening(reach, stack).open(path)
    with pytest.raises(OSError, match="No such device"):  # nobody is at the other end, or ever was
        os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    for path in (Path("/proc/kmsg"), Path("/proc/self/mem"), Path("/sys/kernel/uevent_seqnum")):
        with pytest.raises(BadImage, match="where there are no images"):
            Opening(reach, stack).open(path)


def test_a_name_that_can_be_none_is_a_sentence(image: Path, stack: ExitStack) -> None:
    """So is one that is too long."""
    for name in ("a\0b", "a" * 300):
        with pytest.raises(BadImage, match="cannot be opened"):
            Opening(Reach(), stack).open(image.parent / name)
