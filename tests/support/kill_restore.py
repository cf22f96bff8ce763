"""Restores a backup again and again, killed one step later each time; run by test_restore.

    python -m tests.support.kill_restore DIRECTORY

A step is whatever Python tells its audit hooks of: each file that is opened, renamed, removed, made or given
away. Prints how each restore ended, as a JSON list of [killed, what an SVM finds then].
"""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

from appliance.state.restore import restore
from tests.support.states import found_in, make_backup, make_state

_STEPS = {
    "open",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.mkdir",
    "os.chmod",
    "os.chown",
    "os.link",
    "shutil.rmtree",
}
_MOST = 500


def _kill_at(step: int) -> None:
    """Have this process killed when it comes to its step of that number."""
    left = step

    def hook(event: str, _args: object) -> None:
        nonlocal left
        if event in _STEPS:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def _restored(backup: Path, directory: Path, step: int) -> bool:
    """Restore in a process of its own that is killed at a step; whether it was."""
    child = os.fork()
    if not child:
        _kill_at(step)
        restore(backup, directory, "now", overwrite=True)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert status == 0
    return False


def main(place: Path) -> None:
    """Do it until a restore comes to its end."""
    make_backup(place / "backup", make_state(place / "source", "new"))
    old, ended = make_state(place / "old", "old"), []
    for step in range(1, _MOST):
        directory = place / "state"
        shutil.copytree(old, directory)
        killed = _restored(place / "backup", directory, step)
        ended.append((killed, found_in(directory)))
        left = [path.name for path in directory.glob("restore-*")]
        assert not left, left
        shutil.rmtree(directory)
        if not killed:
            break
    print(json.dumps(ended))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
