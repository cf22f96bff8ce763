"""Scans of real trees through a guest-side server, as the stub's parts are wired in the program."""

import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from guest_stub.decisions import Decisions, StoreSettings
from guest_stub.ends import DirectoryLeft, End
from guest_stub.found import FoundFile
from guest_stub.keeping import Keeper
from guest_stub.line import Line
from guest_stub.on_demand import Equipment, Manner, Scan
from guest_stub.pausing import Pause
from guest_stub.report import Ending, FileEnd
from guest_stub.svm_link.values import HelloLabels
from guest_stub.tally import Totals
from guest_stub.walk import Selection, Walk
from tests.support.guest_side_server import GuestSideServer

LABELS = HelloLabels(stub_version="0", host_name="test")
BOOT = "boot-1"


def later() -> float:
    """A clock that is a minute ahead: files that tests have just written are old enough to be kept."""
    return time.time() + 60


def store_settings(directory: Path, map_bytes: int = 4 << 20, boot_id: str = BOOT) -> StoreSettings:
    """A small store under a directory."""
    return StoreSettings(directory, map_bytes, boot_id)


@dataclass
class Told:
    """A Report, and a WalkListener, that remembers everything. everything: asks for plain files as well."""

    everything: bool = True
    files: list[FileEnd] = field(default_factory=list)
    directories: dict[str, DirectoryLeft] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    entered: int = 0

    @property
    def ends(self) -> dict[str, End]:
        """The end of each file by its path."""
        return {file.path: file.end for file in self.files}

    def wants(self, end: End) -> bool:
        """See Report."""
        return self.everything

    def file(self, file: FileEnd, wait: bool = False) -> None:
        """See Report."""
        self.files.append(file)

    def directory(self, why: DirectoryLeft, path: str, reason: str) -> None:
        """See Report."""
        self.directory_left(why, path, reason)

    def ending(self, ending: Ending) -> None:
        """See Report."""

    def left(self, end: End, directory: str, name: str, reason: str) -> None:
        """See WalkListener."""
        self.files.append(FileEnd(f"{directory}/{name}", end, reason=reason))

    def directory_left(self, why: DirectoryLeft, path: str, reason: str) -> None:
        """See WalkListener."""
        self.directories[path] = why
        self.reasons[path] = reason

    def directory_entered(self) -> None:
        """See WalkListener."""
        self.entered += 1


def walked(selection: Selection) -> tuple[list[FoundFile], Told]:
    """All that a walk finds, and what it tells beside."""
    told = Told()
    return [file for batch in Walk(selection, told).batches() for file in batch], told


@dataclass
class Guest:
    """A guest of a server: a state of its own, and the scans that it makes."""

    server: GuestSideServer
    state: Path
    manner: Manner = field(default_factory=lambda: Manner(threads=2, clock=later))
    report: Told = field(default_factory=Told)
    during: Callable[[Scan], None] | None = None
    pause: Pause = field(default_factory=Pause)

    async def scan(self, *roots: Path, selection: Selection | None = None) -> Totals:
        """Scan trees; the counts at the end. `during` is called with the scan before it runs."""
        selection = replace(selection or Selection(()), roots=tuple(map(str, roots)))
        with closing(Decisions(store_settings(self.state), clock=self.manner.clock)) as decisions:
            keeper = Keeper(decisions)
            async with await Line.open(self.server.target, LABELS, keeper) as line:
                scan = Scan(
                    selection, self.manner, Equipment(line, decisions, keeper, self.report, self.pause)
                )
                if self.during is not None:
                    self.during(scan)
                await scan.run()
                await keeper.close()
            self.incomplete = scan.incomplete
            return scan.tally.final()


def counts(totals: Totals) -> dict[str, int]:
    """Ends by name."""
    return dict(Counter({end.name: count for end, count in totals.ends.items()}))
