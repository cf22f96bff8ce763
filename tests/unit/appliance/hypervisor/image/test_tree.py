"""Trees from tars, directories and text."""

import io
import stat
import tarfile
from pathlib import Path, PurePosixPath

import pytest

from appliance.hypervisor.image.running import ImageError
from appliance.hypervisor.image.tree import Tree

EPOCH = 1_700_000_000


def tar(directory: Path) -> Path:
    """A small one, as mmdebstrap names things in it."""
    file = directory / "root.tar"
    with tarfile.open(file, "w") as made:
        for name, kind, content, more in (
            ("./", tarfile.DIRTYPE, b"", {}),
            ("./usr/", tarfile.DIRTYPE, b"", {}),
            ("./usr/bin/", tarfile.DIRTYPE, b"", {"mode": 0o755}),
            ("./bin", tarfile.SYMTYPE, b"", {"linkname": "usr/bin"}),
            ("./usr/bin/one", tarfile.REGTYPE, b"content", {"mode": 0o4755, "uid": 7, "mtime": 5}),
            ("./usr/bin/two", tarfile.LNKTYPE, b"", {"linkname": "./usr/bin/one"}),
            ("./.hidden", tarfile.REGTYPE, b"dot", {"mtime": EPOCH + 99}),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.size = kind, len(content)
            for key, value in more.items():
                setattr(member, key, value)
            made.addfile(member, io.BytesIO(content))
    return file


def test_a_tar_is_read_with_rights_owners_and_times(tmp_path: Path) -> None:
    """What is later than the epoch has the epoch; a further name of a file is a file."""
    tree = Tree.of_tar(tar(tmp_path), EPOCH)
    one = tree.entries[PurePosixPath("/usr/bin/one")]
    assert (one.mode, one.uid, one.mtime, one.content()) == (stat.S_IFREG | 0o4755, 7, 5, b"content")
    assert tree.content("/usr/bin/two") == b"content"
    assert tree.entries[PurePosixPath("/.hidden")].mtime == EPOCH


def test_what_a_link_leads_to_is_found_and_put_there(tmp_path: Path) -> None:
    """A file under /bin is one under /usr/bin where that is what /bin stands for."""
    tree = Tree.of_tar(tar(tmp_path), EPOCH)
    assert tree.content("/bin/one") == b"content"
    tree.add_text("/bin/three", "3")
    assert tree.text("/usr/bin/three") == "3"
    assert PurePosixPath("/bin/three") not in tree.entries


def test_what_is_not_there_cannot_be_read_or_changed(tmp_path: Path) -> None:
    """It says what is missing."""
    tree = Tree.of_tar(tar(tmp_path), EPOCH)
    with pytest.raises(ImageError, match="no /etc/passwd"):
        tree.edit("/etc/passwd", str.upper)
    with pytest.raises(ImageError, match="no /bin/four"):
        tree.content("/bin/four")


def test_a_text_is_changed_in_its_place() -> None:
    """Its rights stay."""
    tree = Tree(EPOCH)
    tree.add_text("/etc/shadow", "a\n", 0o600)
    tree.edit("/etc/shadow", lambda text: text + "b\n")
    assert tree.text("/etc/shadow") == "a\nb\n"
    assert tree.entries[PurePosixPath("/etc/shadow")].mode == stat.S_IFREG | 0o600


def test_directories_come_in_order_with_those_above_them() -> None:
    """Whatever the order in which files were entered."""
    tree = Tree(EPOCH)
    tree.add_text("/b/c/file", "")
    tree.add_text("/a", "")
    assert [(str(path), [name for name, _ in found]) for path, found in tree.directories()] == [
        ("/", ["a", "b"]),
        ("/b", ["c"]),
        ("/b/c", ["file"]),
    ]


def test_a_directory_is_taken_over_as_roots(tmp_path: Path) -> None:
    """What can be run can be run by all; times are the epoch."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/tool").write_text("x")
    (tmp_path / "in/tool").chmod(0o700)
    (tmp_path / "in/link").symlink_to("tool")
    tree = Tree(EPOCH)
    tree.add_files("/opt", tmp_path)
    tool = tree.entries[PurePosixPath("/opt/in/tool")]
    assert (tool.mode, tool.mtime, tool.uid) == (stat.S_IFREG | 0o755, EPOCH, 0)
    assert tree.entries[PurePosixPath("/opt/in/link")].target == "tool"


def test_what_is_removed_is_gone_with_all_below_it() -> None:
    """What only begins with the same letters stays."""
    tree = Tree(EPOCH)
    for path in ("/var/log/a/b", "/var/log2"):
        tree.add_text(path, "")
    tree.remove("/var/log")
    assert sorted(map(str, tree.entries)) == ["/var", "/var/log2"]


def test_a_unit_is_enabled_where_it_says() -> None:
    """By a link, as systemctl makes it; a unit that says nothing is there and not enabled."""
    tree = Tree(EPOCH)
    tree.add_unit("a.service", "[Install]\nWantedBy=multi-user.target\n")
    tree.add_unit("b.service", "[Unit]\n")
    links = [str(path) for path, entry in tree.entries.items() if entry.target]
    assert links == ["/etc/systemd/system/multi-user.target.wants/a.service"]
