"""The walls around a worker process, built by bubblewrap.

Inside there is: an own user, process, network, IPC, host name and control group namespace; a
read-only root that holds the interpreter, its libraries and this package, and nothing that can be
written; no capability, no way to gain one; an own session; and death when the front dies. What a
worker gives up by itself on top of that is in `confinement`.
"""

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.scanning.runtime import WorkerRuntime, outermost

UNSANDBOXED: Final = "none-i-accept-the-risk"
_NOBODY: Final = "65534"
_REMEDY: Final = f'install bubblewrap, or set scanning.sandbox = "{UNSANDBOXED}"'
_LINKS: Final = ("/lib", "/lib64", "/lib32", "/libx32")  # into /usr, or directories on older systems
_DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/urandom")
_log = logging.getLogger(__name__)


class SandboxUnavailable(Exception):
    """Workers cannot be sandboxed on this machine. The message says what to do."""


def unusable(words: str) -> SandboxUnavailable:
    """Return the error for a bubblewrap that is there and fails. words: what it said."""
    return SandboxUnavailable(f"the sandbox cannot be set up ({words}): {_REMEDY}")


@dataclass(frozen=True, slots=True)
class Sandbox:
    """How worker processes are started. bubblewrap: its path; "" for none."""

    bubblewrap: str
    runtime: WorkerRuntime

    @classmethod
    def find(
        cls, setting: str, runtime: WorkerRuntime, which: Callable[[str], str | None] = shutil.which
    ) -> "Sandbox":
        """Return the sandbox that the setting asks for: "bubblewrap", or none in as many words.

        Raises SandboxUnavailable where bubblewrap is not installed.
        """
        if setting == UNSANDBOXED:
            _log.warning(
                "workers run without a sandbox, as scanning.sandbox says: a file that breaks an engine "
                "has the rights of this service"
            )
            return cls("", runtime)
        path = which("bwrap")
        if path is None:
            raise SandboxUnavailable(f"bubblewrap (bwrap) is not installed: {_REMEDY}")
        return cls(path, runtime)

    @property
    def walled(self) -> bool:
        """Whether there is a sandbox at all."""
        return bool(self.bubblewrap)

    def command(self, readable: Sequence[Path]) -> list[str]:
        """Return the argument list that starts a worker.

        readable: directories that it may read besides its runtime, under the same names; those that do
        not exist are left out.
        """
        if not self.walled:
            return list(self.runtime.command)
        return [
            self.bubblewrap,
            *("--unshare-user", "--uid", _NOBODY, "--gid", _NOBODY, "--disable-userns"),
            *("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
            *("--cap-drop", "ALL", "--new-session", "--die-with-parent", "--as-pid-1"),
            *_root(outermost([*self.runtime.paths, *readable])),
            *("--chdir", "/", "--"),
            *self.runtime.command,
        ]


def _root(paths: Sequence[Path]) -> list[str]:
    """Return the arguments that lay out the read-only root."""
    arguments: list[str] = []
    for path in paths:
        arguments += ["--ro-bind-try", str(path), str(path)]
    for path in map(Path, _LINKS):
        if path.is_symlink():
            arguments += ["--symlink", str(path.readlink()), str(path)]
        else:
            arguments += ["--ro-bind-try", str(path), str(path)]
    arguments += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    for device in _DEVICES:
        arguments += ["--dev-bind", device, device]
    return [*arguments, "--proc", "/proc", "--remount-ro", "/proc", "--remount-ro", "/"]
