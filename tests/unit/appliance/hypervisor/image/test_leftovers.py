"""What killed runs left in the directory where images are made."""

import subprocess
import sys
from pathlib import Path

import pytest

from appliance.hypervisor.image.leftovers import in_use
from appliance.hypervisor.image.running import ImageError

_OLD = """
import sys
from pathlib import Path
from appliance.hypervisor.image.leftovers import in_use
with in_use(Path(sys.argv[1])):
    print(Path("/proc/self/mountinfo").read_text())
"""


def left(cache: Path) -> Path:
    """A working directory of a run that is no more."""
    directory = cache / "kvmla-base-abc"
    (directory / "mmdebstrap.x" / "dev").mkdir(parents=True)
    (cache / "base-1.tar").touch()
    return directory


def test_working_directories_of_killed_runs_are_removed_and_what_is_kept_stays(tmp_path: Path) -> None:
    """They have hundreds of MB each."""
    directory = left(tmp_path)
    with in_use(tmp_path):
        assert not directory.exists()
        assert (tmp_path / "base-1.tar").exists()


def test_what_another_run_has_now_is_not_touched(tmp_path: Path) -> None:
    """Two images may be made at once."""
    with in_use(tmp_path):
        directory = left(tmp_path)
        with in_use(tmp_path):
            assert directory.exists()
    with in_use(tmp_path):
        assert not directory.exists()


def test_what_an_older_version_left_mounted_is_unmounted_and_nothing_behind_it_is_removed(
    tmp_path: Path,
) -> None:
    """It had the devices of the host there. In a mount namespace of its own."""
    cache, host = tmp_path / "the cache", tmp_path / "host"
    place = left(cache) / "mmdebstrap.x" / "dev"
    host.mkdir()
    (host / "null").touch()
    script = 'mount --bind "$1" "$2" && exec "$3" -c "$4" "$5"'
    words = [script, "sh", str(host), str(place), sys.executable, _OLD, str(cache)]
    apart = ["unshare", "--mount", "--propagation", "private", "sh", "-c"]
    ran = subprocess.run([*apart, *words], check=True, capture_output=True, text=True, timeout=60)
    assert "mmdebstrap.x" not in ran.stdout
    assert not list(cache.glob("kvmla-*"))
    assert (host / "null").exists()


def test_a_directory_that_cannot_be_used_is_a_sentence(tmp_path: Path) -> None:
    """With what to give."""
    (tmp_path / "file").touch()
    with (
        pytest.raises(ImageError, match=r"cannot be used .*: name another by --cache"),
        in_use(tmp_path / "file"),
    ):
        pass
