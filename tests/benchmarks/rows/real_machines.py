"""Real machines: an SVM deployed until it is healthy, and upgraded; a new guest until it is protected.

`deploy-to-healthy` is the whole command, with the copy of the image into the pool and the first certificates;
beside it the same system is booted bare, from power-on to multi-user.target, with as much memory and as many
processors. `upgrade-away` is for how long `svm-host upgrade` says that the SVM did not answer; beside it such
a bare machine is rebooted, from the power button on. `enrolment-to-protected` is from the word of the host
agent that a machine was handed its token until the SVM has its stub attached: nothing compares to it.
`power-on-to-protected` is all of a new guest's way; beside it the same image boots without its stub. The
machines are of a libvirt apart (tests/support/kvm_host) and emulated (TCG): on KVM all takes a fraction.
"""

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import cycle
from pathlib import Path

from tests.benchmarks.harness import Bench, Figure, Rounds, Target
from tests.support.telling import until
from tests.support.vm_images import VmImage, guest_image, svm_image
from tests.support.vm_site import Clone, Site, attached, away_of, plugged, vm_site

ROUNDS = 2
_SVM_SIZE = (1024, 2)  # as vm_site deploys it
_NOTE = "emulated by QEMU (TCG), no KVM"
# A reboot is all that an upgrade waits for. The bare machine starts no SVM, which under emulation may take as
# long again as its system does; a copy of the image meanwhile, or a stop that is waited for in vain, is more.
_AWAY = Target(3)
_TOKEN = "a machine was handed a token"
_UP = ("systemctl", "is-active", "--quiet", "multi-user.target")


def run(bench: Bench) -> list[Figure]:
    """Seconds. Nothing in a short run: it takes ten minutes, and `make real-vms` boots such machines."""
    if _left_out(bench):
        return []
    images = svm_image(), guest_image()
    with _place() as directory, vm_site(directory, images[0]) as site:
        site.office()
        machines = _Machines(bench, site)
        deployed = machines.deployed()
        enrolled, protected = machines.protected(images[1])
    return [
        Figure("deploy-to-healthy", "s", deployed, note=f"{_NOTE}; against a bare boot of the same system"),
        Figure("enrolment-to-protected", "s", enrolled, note=_NOTE),
        Figure(
            "power-on-to-protected",
            "s",
            protected,
            note=f"{_NOTE}; against a boot of the same image without its stub",
        ),
    ]


def upgrade(bench: Bench) -> list[Figure]:
    """Seconds. Nothing in a short run, as above: it takes five minutes."""
    if _left_out(bench):
        return []
    with _place() as directory, vm_site(directory, svm_image()) as site:
        site.office()
        away = _Machines(bench, site).upgraded()
    note = f"{_NOTE}; against a bare reboot of the same system"
    return [Figure("upgrade-away", "s", away, _AWAY, note)]


def _left_out(bench: Bench) -> bool:
    if bench.short:
        bench.say("  boots machines for minutes: left out of a short run, make real-vms shows that they do")
    return bench.short


@contextmanager
def _place() -> Iterator[Path]:
    """A directory with a short path, for sockets."""
    with tempfile.TemporaryDirectory(prefix="kh", dir="/tmp", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


@dataclass
class _Machines:
    """made: how many machines there were so far, none of which has the name of another."""

    bench: Bench
    site: Site
    made: int = 0
    enrolled: list[float] = field(default_factory=list)

    def deployed(self) -> Rounds:
        """Of the SVM, which is there afterwards."""

        def ours() -> float:
            if self.site.machine.virsh("list", "--all", "--name").strip():
                self.site.svm_host("undeploy", "--purge", "--yes")
            began = time.monotonic()
            self.site.svm_host("deploy", *self.site.system)
            return time.monotonic() - began

        def theirs() -> float:
            return self._boot(self._clone(self.site.image, _SVM_SIZE))

        ours()  # makes the networks that the bare machine has ports in, and warms what is read
        return self.bench.alternate(self.bench.rounds(ROUNDS), ours, theirs)

    def upgraded(self) -> Rounds:
        """Of an SVM: how long it says to have been away, each time for another size of memory."""
        self.site.svm_host("deploy", *self.site.system)
        bare = self._clone(self.site.image, _SVM_SIZE)
        self._start(bare)
        sizes = cycle((_SVM_SIZE[0] + 8, _SVM_SIZE[0]))

        def theirs() -> float:
            began = time.monotonic()
            self.site.machine.virsh("shutdown", bare.name, "--mode", "acpi")
            off = partial(self.site.machine.virsh, "domstate", bare.name)
            until(lambda: "shut off" in off(), f"{bare.name} is off", pause=0.2)
            self._start(bare)
            return time.monotonic() - began

        return self.bench.alternate(
            self.bench.rounds(ROUNDS),
            lambda: away_of(self.site.svm_host("upgrade", "--memory", next(sizes))),
            theirs,
        )

    def protected(self, image: VmImage) -> tuple[Rounds, Rounds]:
        """Of a guest: from its token on, and from power-on on."""
        with self.site.serving() as log:
            whole = self.bench.alternate(
                self.bench.rounds(ROUNDS),
                lambda: self._protect(self._clone(image), log),
                lambda: self._boot(self._clone(image, masked=("guest-stub.service",))),
            )
        return Rounds(tuple(self.enrolled)), whole

    def _clone(self, image: VmImage, size: tuple[int, int] = (384, 1), masked: tuple[str, ...] = ()) -> Clone:
        self.made += 1
        return self.site.clone(f"machine-{self.made}", image, size, masked)

    def _boot(self, machine: Clone) -> float:
        """Seconds until all of its services are started."""
        began = time.monotonic()
        self._start(machine)
        took = time.monotonic() - began
        self._remove(machine)
        return took

    def _start(self, machine: Clone) -> None:
        self.site.machine.virsh("start", machine.name)
        machine.shell.wait()
        until(lambda: machine.shell.run(*_UP).code == 0, f"{machine.name} is up", pause=0.2)

    def _protect(self, machine: Clone, log: Path) -> float:
        """Seconds until the SVM has it attached; those since its token are kept."""
        until(lambda: plugged(self.site, machine), f"{machine.name} has its channel")
        began = time.time()
        self.site.machine.virsh("start", machine.name)
        until(lambda: attached(self.site, [machine]), f"{machine.name} is protected", pause=0.2)
        ended = time.time()
        self.enrolled.append(ended - _token_at(log, machine))
        self._remove(machine)
        return ended - began

    def _remove(self, machine: Clone) -> None:
        self.site.machine.virsh("destroy", machine.name)
        self.site.machine.virsh("undefine", machine.name)


def _token_at(log: Path, machine: Clone) -> float:
    """When its host agent said that it was handed its token, in seconds since the epoch."""
    for line in log.read_text().splitlines():
        said = json.loads(line)
        if said["event"] == _TOKEN and said["guest"] == machine.uuid:
            return datetime.fromisoformat(said["time"]).timestamp()
    raise AssertionError(f"{machine.name} was handed no token: {log.read_text()[-1000:]}")
