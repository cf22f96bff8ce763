"""Tests of appliance/scanning/confinement.py, each in a process of its own."""

import json
import os
import select
import signal
import subprocess
import sys
from typing import Any

from tests.support.scanning import DEADLINE, worker_runtime

CONFINE = """
import ctypes, json, os, resource, socket, subprocess, sys, threading
from appliance.scanning.confinement import Confinement, confine
def outcome(what):
    try:
        what()
    except Exception as error:
        return type(error).__name__
    return "done"
said = {"filtered": confine(Confinement(256 << 20, 8 << 30, 1 << 20, 32, 0))}
"""


def confined(code: str) -> Any:
    """What a confined process says of itself: `code` adds to the dictionary `said`."""
    runtime = worker_runtime()
    command = [
        *runtime.command[: runtime.command.index("-m")],
        "-c",
        f"{CONFINE}\n{code}\nprint(json.dumps(said))",
    ]
    done = subprocess.run(command, env=runtime.environment, capture_output=True, check=True, timeout=30)
    return json.loads(done.stdout)


def test_it_starts_no_program_and_opens_no_network() -> None:
    """fork, exec and internet sockets fail; threads and local sockets do not."""
    said = confined("""
said["fork"] = outcome(os.fork)
said["exec"] = outcome(lambda: os.execv(sys.executable, [sys.executable]))
said["run"] = outcome(lambda: subprocess.run([sys.executable, "-V"]))
said["inet"] = outcome(lambda: socket.socket(socket.AF_INET))
said["unix"] = outcome(lambda: socket.socket(socket.AF_UNIX))
thread = threading.Thread(target=lambda: said.update(thread="done"))
thread.start()
thread.join()
""")
    denied = "PermissionError" if said.pop("filtered") else "done"
    assert said == {
        "fork": denied, "exec": denied, "run": denied, "inet": denied, "unix": "done", "thread": "done",
    }  # fmt: skip


def test_it_can_give_up_threads_later() -> None:
    """None is started after that, while one that was there goes on."""
    said = confined("""
from appliance.scanning.confinement import no_more_threads
gate = threading.Event()
thread = threading.Thread(target=lambda: said.update(early=gate.wait(20)))
thread.start()
said["in force"] = no_more_threads()
said["late"] = outcome(lambda: threading.Thread(target=print).start())
gate.set()
thread.join()
""")
    filtered = said.pop("filtered")
    late = "RuntimeError" if filtered else "done"
    assert said == {"early": True, "in force": filtered, "late": late}


def test_it_takes_no_more_than_it_may() -> None:
    """Memory, address space, files, descriptors and core dumps are bounded, and no bound can be raised."""
    said = confined("""
said["memory"] = outcome(lambda: bytearray(300 << 20))
file = os.memfd_create("x")
said["file"] = outcome(lambda: [os.write(file, bytes(1 << 20)) for _ in range(2)])
said["descriptors"] = outcome(lambda: [os.memfd_create("x") for _ in range(40)])
said["core"] = resource.getrlimit(resource.RLIMIT_CORE)
said["address"] = resource.getrlimit(resource.RLIMIT_AS)
""")
    assert said["memory"] == "MemoryError"
    assert said["file"] == "OSError"
    assert said["descriptors"] == "OSError"
    assert said["core"] == [0, 0]
    assert said["address"] == [8 << 30, 8 << 30]


def test_it_cannot_be_traced_and_gains_no_rights() -> None:
    """Not dumpable, which closes /proc/PID/mem and ptrace to its own user; no new privileges."""
    said = confined("""
libc = ctypes.CDLL(None)
said["dumpable"] = libc.prctl(3, 0, 0, 0, 0)
said["no_new_privileges"] = libc.prctl(39, 0, 0, 0, 0)
""")
    assert said["dumpable"] == 0
    assert said["no_new_privileges"] == 1


def test_it_dies_with_its_parent() -> None:
    """A worker without a sandbox around it is killed by the kernel when the front dies."""
    runtime = worker_runtime()
    waiting = f"{CONFINE}\nprint(os.getpid(), flush=True)\nimport signal\nsignal.pause()"
    command = [*runtime.command[: runtime.command.index("-m")], "-c", waiting]
    parent = f"""
import signal, subprocess
subprocess.Popen({command!r}, env={runtime.environment!r})
signal.pause()
"""
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        worker = os.pidfd_open(int(process.stdout.readline()))
        process.send_signal(signal.SIGKILL)
    assert select.select([worker], [], [], DEADLINE)[0], "the worker lives on"
    os.close(worker)
