"""A host of virtual machines of its own: a real libvirtd with QEMU, apart from the machine's own libvirt.

Its mounts, processes and network are its own (namespaces), so that no test touches what the machine runs; it
ends with them. Guests run under QEMU's own emulation: `type='qemu'`.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

DEADLINE = 120.0  # the first start probes what QEMU can do, which took 17 s alone

_NEEDED = ("libvirtd", "virtlogd", "virsh", "qemu-system-x86_64", "qemu-img", "dnsmasq", "iptables", "ip")

_QEMU_CONF = """user = "root"
group = "root"
security_driver = "none"
namespaces = []
cgroup_controllers = []
"""

# $1: a directory with etc, lib, run, cache and log of this libvirt. This is PID 1 there, its end ends all,
# and it waits for whatever processes are left to it: libvirt looks whether a QEMU that it killed is gone.
_BOOT = """
set -e
mount -t proc proc /proc
mount -t sysfs sysfs /sys
ip link set lo up
# /dev without kvm, which may be there and not work. It is not enough to put another file in its place: what
# libvirt can open and QEMU cannot use has all that QEMU can do probed anew, 17 s for each definition.
mkdir "$1/dev"
mount -t tmpfs -o mode=0755 dev "$1/dev"
for node in /dev/*; do
  here="$1/dev/${node##*/}"
  if [ "$node" = /dev/kvm ]; then :
  elif [ "$node" = /dev/ptmx ]; then ln -s pts/ptmx "$here"  # it looks for its terminals beside itself
  elif [ -h "$node" ]; then cp -P "$node" "$here"
  elif [ -d "$node" ]; then mkdir "$here"; mount --rbind "$node" "$here"
  else : >"$here"; mount --bind "$node" "$here"
  fi
done
mount --move "$1/dev" /dev
for place in /etc /var/lib /run /var/cache /var/log; do
  mkdir -p "$place/libvirt"
  mount --bind "$1/${place##*/}" "$place/libvirt"
done
virtlogd --pid-file "$1/run/virtlogd.pid" </dev/null >"$1/virtlogd.log" 2>&1 &
libvirtd --pid-file "$1/run/libvirtd.pid" </dev/null >"$1/libvirtd.log" 2>&1 &
echo $! >"$1/libvirtd.pid"
while :; do wait; sleep 0.2; done
"""


@dataclass
class KvmHost:
    """directory: where its files are. pid: its first process, by whose namespaces one comes in."""

    directory: Path
    pid: int

    @property
    def uri(self) -> str:
        """Where its libvirtd answers, from here too."""
        return f"qemu+unix:///system?socket={self.directory}/run/libvirt-sock"

    def words(self, *words: object) -> list[str]:
        """The command line that runs a program within it."""
        return ["nsenter", f"--target={self.pid}", "--mount", "--net", "--pid", "--", *map(str, words)]

    def run(self, *words: object, seconds: float = DEADLINE) -> subprocess.CompletedProcess[str]:
        """Run a program within it to its end."""
        return subprocess.run(
            self.words(*words), check=False, capture_output=True, text=True, timeout=seconds
        )

    @contextmanager
    def running(self, log: Path, *words: object) -> Iterator[None]:
        """A program runs within it for the length of a `with`, and gets SIGTERM then. log: what it says."""
        with log.open("a") as file:
            process = subprocess.Popen(self.words(*words), stdout=file, stderr=file)
        try:
            yield
        finally:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            for child in children or [str(process.pid)]:  # nsenter passes no signal on
                os.kill(int(child), signal.SIGTERM)
            process.wait(60)

    def virsh(self, *words: object) -> str:
        """What `virsh` says."""
        ran = self.run("virsh", "--connect", "qemu:///system", *words)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def kill_libvirtd(self) -> None:
        """libvirtd is gone at once; the machines run on."""
        self.run("sh", "-c", 'kill -9 "$(cat "$1")"', "sh", self.directory / "libvirtd.pid")

    def start_libvirtd(self) -> None:
        """Start it again, and wait until it answers."""
        start = (
            'libvirtd --pid-file "$1/run/libvirtd.pid" </dev/null >>"$1/libvirtd.log" 2>&1 &'
            ' echo $! >"$1/libvirtd.pid"'
        )
        subprocess.run(
            self.words("setsid", "sh", "-c", start, "sh", self.directory), check=True, timeout=DEADLINE
        )
        self.wait_until_it_answers()

    def wait_until_it_answers(self) -> None:
        """Return when libvirtd answers."""
        end = time.monotonic() + DEADLINE
        while self.run("virsh", "--connect", "qemu:///system", "version").returncode:
            log = _text(self.directory / "libvirtd.log")
            assert time.monotonic() < end, f"libvirtd did not answer within {DEADLINE:g} s:\n{log}"
            time.sleep(0.2)


@contextmanager
def kvm_host(directory: Path, uuid: str = "") -> Iterator[KvmHost]:
    """Run one with its files in a directory, which is made. Its path is short: a socket's is bounded.

    uuid: that libvirt gives it, "" for the machine's, or where that has none for one that it draws.
    """
    missing = [program for program in _NEEDED if shutil.which(program) is None]
    assert not missing, f"not found: {', '.join(missing)}; `make real-vms` installs what machines need"
    assert os.geteuid() == 0, "a libvirt of its own needs root: run this as root"
    for name in ("etc", "lib", "run", "cache", "log", "log/qemu", "lib/dnsmasq"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    if Path("/etc/libvirt").is_dir():
        shutil.copytree("/etc/libvirt", directory / "etc", dirs_exist_ok=True)
    (directory / "etc" / "qemu.conf").write_text(_QEMU_CONF)
    if uuid:
        with (directory / "etc" / "libvirtd.conf").open("a") as conf:
            conf.write(f'\nhost_uuid = "{uuid}"\n')
    for linked in ("qemu", "storage"):  # nothing of the machine's own starts by itself here
        shutil.rmtree(directory / "etc" / linked, ignore_errors=True)
    ends_with_us = ["setpriv", "--pdeathsig", "KILL"]  # however this process ends
    apart = ["unshare", "--mount", "--propagation", "private", "--pid", "--net", "--fork", "--kill-child"]
    with subprocess.Popen(
        [*ends_with_us, *apart, "sh", "-c", _BOOT, "sh", str(directory)], start_new_session=True
    ) as process:
        try:
            host = KvmHost(directory, _first_process(process.pid))
            host.wait_until_it_answers()
            yield host
        finally:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)


def _first_process(unshare: int) -> int:
    end = time.monotonic() + DEADLINE
    children = Path(f"/proc/{unshare}/task/{unshare}/children")
    while not (found := children.read_text().split()):
        assert time.monotonic() < end, "unshare began nothing"
        time.sleep(0.02)
    return int(found[0])


def _text(path: Path) -> str:
    """What a file has, if it is there yet."""
    return path.read_text() if path.exists() else ""
