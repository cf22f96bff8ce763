"""Programs that are run to make an image; what one of them cannot do becomes a sentence."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL

SECONDS = 1800.0  # the longest that any of them may take, a slow mirror included
_TOLD_LINES = 4
_KILL_SECONDS = 10.0  # more than an end by SIGKILL takes
# What is mounted there is seen nowhere else, and is gone with the last of its processes; all of them end with
# the first one, that one with unshare, and unshare with this program, however it ends.
_APART = (
    *("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private"),
    *("--pid", "--mount-proc", "--fork", "--kill-child"),
)


class ImageError(Exception):
    """An image cannot be made. The message says why and what to do."""


def run(
    words: Sequence[str | Path],
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    complaints: bool = False,
    apart: bool = False,
) -> str:
    """Run a program to its end; return what it printed.

    environ: variables beside this process's own. complaints: in front of that, what it printed to the errors.
    apart: with mounts and processes of its own, of which nothing is left when this process ends; needs root.

    Raises ImageError, with the last lines that it complained in, when it fails or is not there.
    """
    command = [str(word) for word in words]
    try:
        ran = _run(command, {**os.environ, "LC_ALL": "C.UTF-8", **(environ or {})}, cwd, apart)
    except FileNotFoundError as error:
        raise ImageError(
            f"{command[0]} is not installed: `apt-get install {_PACKAGES.get(command[0], command[0])}`"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ImageError(f"{command[0]} did not end within {SECONDS:g} s and was killed") from error
    if ran.returncode:
        said = [line for line in (ran.stderr or ran.stdout).splitlines() if line.strip()][-_TOLD_LINES:]
        raise ImageError(f"{command[0]} failed ({ran.returncode}): {'; '.join(said) or 'without a word'}")
    return f"{ran.stderr}{ran.stdout}" if complaints else ran.stdout


def _run(
    command: list[str], environ: Mapping[str, str], cwd: Path | None, apart: bool
) -> subprocess.CompletedProcess[str]:
    if apart and shutil.which(command[0], path=environ.get("PATH")) is None:
        raise FileNotFoundError(command[0])
    pipe, whole = subprocess.PIPE, [*_APART, *command] if apart else command
    with subprocess.Popen(
        whole,
        stdin=subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        text=True,
        errors="replace",
        env=environ,
        cwd=cwd,
    ) as process:
        try:
            out, err = process.communicate(timeout=SECONDS)
        except BaseException:
            _kill(process, apart)
            raise
        return subprocess.CompletedProcess(command, process.returncode, out, err)


def _kill(process: subprocess.Popen[str], apart: bool) -> None:
    """End a program. Apart it is its child that counts: when that was waited for, all others are gone too."""
    with suppress(OSError, subprocess.TimeoutExpired):
        told = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text() if apart else ""
        for child in told.split():
            os.kill(int(child), SIGKILL)
            process.wait(_KILL_SECONDS)
    process.kill()


_PACKAGES = {
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "mcopy": "mtools",
    "mkfs.fat": "dosfstools",
    "qemu-img": "qemu-utils",
    "depmod": "kmod",
    "dpkg-deb": "dpkg",
    "apt-get": "apt",
    "chroot": "coreutils",
}
