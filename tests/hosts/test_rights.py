"""Who has no right to libvirt is told what gives it: a real libvirtd, and a user that is nobody."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.kvm_host import DEADLINE, KvmHost

ROOT = Path(__file__).parents[2]
NOBODY = 65534

# It becomes nobody once everything is read, which may lie where nobody can read it.
_AS_NOBODY = f"""
import os
import sys

from appliance.hypervisor.__main__ import main

os.setgroups([])
os.setresgid({NOBODY}, {NOBODY}, {NOBODY})
os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("mode", "why"), [(0o700, "Permission denied"), (0o777, "")], ids=["socket", "libvirt"]
)
def test_who_has_no_right_is_told_who_has(machines: KvmHost, mode: int, why: str) -> None:
    """One sentence and exit code 2, whether the socket refuses him or libvirt, which has no polkit to ask."""
    socket = machines.directory / "run" / "libvirt-sock"
    for above in (machines.directory.parent, machines.directory, socket.parent):
        above.chmod(0o755)
    socket.chmod(mode)
    words = [sys.executable, "-c", _AS_NOBODY, "vms", "--connect", machines.uri]
    environ = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT}/protos"}
    ran = subprocess.run(
        words, check=False, capture_output=True, text=True, timeout=DEADLINE, cwd=ROOT, env=environ
    )
    assert (ran.returncode, ran.stdout) == (2, ""), ran.stderr
    assert ran.stderr.startswith(f"svm-host: libvirt at {machines.uri} gives no right (")
    assert ran.stderr.endswith("): be root or of the group libvirt\n")
    assert ran.stderr.count("\n") == 1
    assert why in ran.stderr
