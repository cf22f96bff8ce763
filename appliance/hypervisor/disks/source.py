"""What is scanned: a file, or the disks of a machine; opened, and looked at again when the scan is over."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance.hypervisor.disks.chain import Chain, open_chain
from appliance.hypervisor.disks.headers import BadImage
from appliance.hypervisor.disks.in_use import Standing

WRITTEN = (
    "a running machine writes to it: name the machine instead, so that it is read as it was at one moment"
)
_MEANWHILE = "it was written to while it was read, so what was read is of no one moment: scan it again"


@dataclass(slots=True)
class Source:
    """Open disks. label: for people. machine: the UUID of whose they are, "" for nobody's.

    disks: as `disk-reader` is told of them; fds: all that it needs for that. problems: disks that are not
    read, and why. after: what is wrong with what was read, asked when the scan is over.
    """

    label: str
    machine: str = ""
    disks: list[list[dict[str, Any]]] = field(default_factory=list)
    fds: list[int] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    after: list[Callable[[], str]] = field(default_factory=list)

    def add(self, chain: Chain) -> None:
        """Add a disk that nobody may write to meanwhile."""
        before = Standing.of(chain)
        if before.writer:
            raise BadImage(f"{before.writer}: {WRITTEN}")
        self.disks.append(chain.told())
        self.fds += chain.fds
        for layer in chain.layers:
            if layer.is_guessed:
                said = (
                    f"{layer.paths[0]}: taken for {layer.format} by its first bytes; --format says otherwise"
                )
                self.notes.append(said)
        self.after.append(lambda: _changed(before, chain))


def _changed(before: Standing, chain: Chain) -> str:
    after = Standing.of(chain)
    if after.writer:
        return f"{after.writer}: a machine was started meanwhile and writes to it: {_MEANWHILE}"
    return "" if after == before else f"{chain.top.paths[0]}: {_MEANWHILE}"


def of_file(path: Path, image_format: str, stack: ExitStack) -> Source:
    """An image by its file. image_format: "" where nobody says it. Raises BadImage."""
    source = Source(str(path))
    source.add(open_chain(path, image_format, stack))
    return source
