"""How pressed this machine is, and the host that it runs on, as the kernel says it.

/proc/pressure/{cpu,io,memory} tell which part of the last ten seconds something waited for that (PSI; Linux
4.20 and later, where it is not turned off). The time of a virtual machine's processors that its host gave to
others stands in /proc/stat as steal: it is all that is seen of the host from in here.
"""

import re
from dataclasses import dataclass, fields
from pathlib import Path

MAX_FILE_BYTES = 64 * 1024  # looked at; /proc/stat tells the sum in its first line

_SOME = re.compile(rb"some avg10=(\d{1,3}(?:\.\d+)?) ")
_STEAL = 7  # in the line of /proc/stat, behind user, nice, system, idle, iowait, irq and softirq
_FIELDS = 8  # guest times, which follow, are in user and nice already


@dataclass(frozen=True, slots=True)
class Pressure:
    """Each in percent of the time, 0 to 100; 0 where the kernel does not say."""

    cpu: float = 0.0
    io: float = 0.0
    memory: float = 0.0
    steal: float = 0.0

    def level(self, limits: "Pressure") -> float:
        """How near this is to limits: 1 where one of them is reached. A limit of 0 is none."""
        return max(
            (
                getattr(self, field.name) / limit
                for field in fields(self)
                if (limit := getattr(limits, field.name))
            ),
            default=0.0,
        )


class PressureReader:
    """Reads it again and again. missing: what this kernel does not say, as far as was seen."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        """proc: where the kernel tells."""
        self.missing: set[str] = set()
        self._proc = proc
        self._times: tuple[int, int] | None = None  # of all processors: altogether, and stolen

    def read(self) -> Pressure:
        """How it is now; steal since the reading before."""
        return Pressure(self._psi("cpu"), self._psi("io"), self._psi("memory"), self._steal())

    def _psi(self, resource: str) -> float:
        said = _SOME.match(self._content(f"pressure/{resource}"))
        if said is None:
            self.missing.add(f"pressure/{resource}")
            return 0.0
        self.missing.discard(f"pressure/{resource}")
        return min(100.0, float(said[1]))

    def _steal(self) -> float:
        words = self._content("stat").split(b"\n")[0].split()
        if len(words) <= _FIELDS or words[0] != b"cpu" or not all(map(bytes.isdigit, words[1 : _FIELDS + 1])):
            self.missing.add("stat")
            return 0.0
        self.missing.discard("stat")
        times = [int(word) for word in words[1 : _FIELDS + 1]]
        before, self._times = self._times, (sum(times), times[_STEAL])
        if before is None or self._times[0] <= before[0]:
            return 0.0
        stolen = (self._times[1] - before[1]) / (self._times[0] - before[0])
        return 100.0 * min(1.0, max(0.0, stolen))

    def _content(self, name: str) -> bytes:
        try:
            with (self._proc / name).open("rb") as file:
                return file.read(MAX_FILE_BYTES)
        except OSError:  # EOPNOTSUPP too, where PSI is compiled in and turned off
            return b""
