"""The sandbox from inside: what a worker that has been taken over could do."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.scanning import DEADLINE, sandbox

ROOT = Path(__file__).parents[2]

# Runs in the place of the worker program, in the very same sandbox. `attempt`: "done" or an error's name.
INSIDE = """
import ctypes, errno, json, os, resource, signal, socket
from appliance.scanning.confinement import Confinement, confine

def attempt(what):
    try:
        what()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"

def call(name, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), name)

def look():
    said = {}
    {code}
    return said

said = {"before": look()}
confine(Confinement(1 << 30, 8 << 30, 1 << 30))
said["after"] = look()
print(json.dumps(said))
"""


def from_inside(code: str, **values: object) -> list[dict[str, Any]]:
    """What `code` adds to `said` in the sandbox: before the worker confines itself, and after."""
    walls = sandbox()
    command = walls.command([])
    body = "\n    ".join(code.strip().splitlines())
    program = INSIDE.replace("{code}", body)
    for name, value in values.items():
        program = f"{name} = {value!r}\n{program}"
    command[command.index("-m") :] = ["-c", program]
    done = subprocess.run(
        command, env=walls.runtime.environment, capture_output=True, check=True, timeout=DEADLINE
    )
    said = json.loads(done.stdout)
    return [said["before"], said["after"]]


def test_there_is_no_network() -> None:
    """No interface but a loopback that is down, and nothing can be reached; no packet socket either."""
    for said in from_inside("""
said["interfaces"] = [line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line]
said["reached"] = attempt(lambda: socket.create_connection(("127.0.0.1", 22), 1))
said["packets"] = attempt(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
"""):
        assert said["interfaces"] == ["lo"]
        assert said["reached"] in ("ECONNREFUSED", "ENETUNREACH", "EPERM")
        assert said["packets"] == "EPERM"


def test_nothing_can_be_written() -> None:
    """Not the root, nor what was shown, nor the kernel's settings, which a worker of root would own."""
    paths = ["/x", "/tmp/x", "/dev/x", "/dev/shm/x", "/etc/x", "/usr/lib/x", f"{ROOT}/appliance/x"]
    settings = ["/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/self/oom_score_adj"]
    for said in from_inside(
        """
said["made"] = {path: attempt(lambda: os.open(path, os.O_CREAT | os.O_WRONLY)) for path in paths}
said["set"] = {path: attempt(lambda: os.open(path, os.O_WRONLY)) for path in settings}
said["removed"] = attempt(lambda: os.unlink(package))
said["remounted"] = attempt(lambda: call("mount", b"none", b"/", None, 32 | 4096, None))
""",
        paths=paths,
        settings=settings,
        package=f"{ROOT}/appliance/__init__.py",
    ):
        assert set(said["made"].values()) <= {"EROFS", "ENOENT", "EACCES"}
        assert set(said["set"].values()) <= {"EROFS", "EACCES"}
        assert said["removed"] == "EROFS"
        assert said["remounted"] == "EPERM"


def test_no_other_process_is_seen_or_reached() -> None:
    """It is alone in its world: no list of processes, no signal, no trace."""
    for said in from_inside(
        """
said["processes"] = [name for name in os.listdir("/proc") if name.isdigit()]
said["signal"] = attempt(lambda: os.kill(front, 0))
said["trace"] = attempt(lambda: call("ptrace", 16, front, None, None))
said["pid"] = os.getpid()
""",
        front=os.getpid(),
    ):
        assert said["processes"] == [str(said["pid"])] == ["1"]
        assert said["signal"] == "ESRCH"
        assert said["trace"] in ("ESRCH", "EPERM")


def test_nothing_of_this_machine_is_read(tmp_path: Path) -> None:
    """Neither passwords, nor homes, nor the SVM's state, nor the rest of the repository."""
    state = tmp_path / "state.lmdb"
    state.write_text("secret")
    paths = [
        "/etc/shadow",
        "/etc/passwd",
        "/var",
        "/home",
        "/sys",
        "/run",
        str(state),
        f"{ROOT}/pyproject.toml",
    ]
    for said in from_inside(
        """
said["read"] = {path: attempt(lambda: os.stat(path)) for path in paths}
said["etc"] = os.listdir("/etc")
said["root"] = os.path.exists("/root/.bashrc") or os.path.exists("/root/.ssh")
said["devices"] = sorted(os.listdir("/dev"))
said["environment"] = sorted(os.environ)
said["descriptors"] = len(os.listdir("/proc/self/fd"))
""",
        paths=paths,
    ):
        assert set(said["read"].values()) == {"ENOENT"}
        assert said["etc"] == ["ld.so.cache"]
        assert not said["root"]
        assert said["devices"] == ["null", "urandom", "zero"]
        assert set(said["environment"]) <= {"LANG", "LIBARCHIVE", "PWD", "PYTHONPATH"}
        assert said["descriptors"] == 4  # three standard ones, and that of the listing


def test_there_is_no_way_to_more_rights() -> None:
    """No capability, no new privilege, no further user namespace, no name of this machine."""
    for said in from_inside("""
with open("/proc/self/status") as file:
    status = dict(line.split(":", 1) for line in file)
said["capabilities"] = {status[name].strip() for name in status if name.startswith("Cap")} == {"0" * 16}
said["no_new_privileges"] = status["NoNewPrivs"].strip()
said["user"] = [os.getuid(), os.getgid()]
said["namespace"] = attempt(lambda: call("unshare", 0x10000000))
said["root"] = attempt(lambda: os.setuid(0))
"""):
        assert said["capabilities"]
        assert said["no_new_privileges"] == "1"
        assert said["user"] == [65534, 65534]
        assert said["namespace"] in ("ENOSPC", "EPERM")
        assert said["root"] in ("EINVAL", "EPERM")


SCAN = """
import asyncio, os
from appliance.config import ScanningSettings
from appliance.scanning.scanner import Scanner
from tests.support.contents import EICAR
from tests.support.scanning import EICAR_ONLY, scanned

async def main():
    scanner = await Scanner.start(ScanningSettings(workers=1), EICAR_ONLY)
    result = await scanned(scanner, EICAR)
    await scanner.reload()
    await scanner.close()
    print(os.getuid(), result.detections[0].threat)

asyncio.run(main())
"""


@pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("setpriv") is None, reason="only root can become another user"
)
def test_an_ordinary_user_scans_in_a_sandbox_too() -> None:
    """Where the kernel lets users make namespaces, the SVM needs no right of root."""
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
    }
    needed = [os.path.realpath(sys.executable), os.__file__, __file__]
    tests = " && ".join(f"test -r {shlex.quote(path)}" for path in needed)
    readable = subprocess.run([*as_nobody, "sh", "-c", tests], check=False, timeout=DEADLINE)
    if readable.returncode != 0:
        pytest.skip("this interpreter or this repository is not readable for other users")
    done = subprocess.run(
        [*as_nobody, sys.executable, "-c", SCAN],
        env=environment,
        cwd="/",
        capture_output=True,
        check=True,
        text=True,
        timeout=DEADLINE,
    )
    assert done.stdout == "65534 Eicar-Test-Signature\n"
