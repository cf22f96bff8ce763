"""Programs that are run to make an image; what one of them cannot do becomes a sentence."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

SECONDS = 1800.0  # the longest that any of them may take, a slow mirror included
_TOLD_LINES = 4


class ImageError(Exception):
    """An image cannot be made. The message says why and what to do."""


def run(
    words: Sequence[str | Path], environ: Mapping[str, str] | None = None, cwd: Path | None = None
) -> str:
    """Run a program to its end; return what it printed. environ: variables beside this process's own.

    Raises ImageError, with the last lines that it complained in, when it fails or is not there.
    """
    command = [str(word) for word in words]
    try:
        ran = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, "LC_ALL": "C.UTF-8", **(environ or {})},
            cwd=cwd,
            timeout=SECONDS,
        )
    except FileNotFoundError as error:
        raise ImageError(
            f"{command[0]} is not installed: `apt-get install {_PACKAGES.get(command[0], command[0])}`"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ImageError(f"{command[0]} did not end within {SECONDS:g} s and was killed") from error
    if ran.returncode:
        said = [line for line in (ran.stderr or ran.stdout).splitlines() if line.strip()][-_TOLD_LINES:]
        raise ImageError(f"{command[0]} failed ({ran.returncode}): {'; '.join(said) or 'without a word'}")
    return ran.stdout


_PACKAGES = {
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "mcopy": "mtools",
    "mformat": "mtools",
    "qemu-img": "qemu-utils",
    "depmod": "kmod",
    "dpkg-deb": "dpkg",
    "apt-get": "apt",
    "chroot": "coreutils",
}
