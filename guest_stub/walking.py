"""The walking thread of a scan: meets files, answers from kept decisions what it can, hands on the rest."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from guest_stub.decisions import Decisions
from guest_stub.ends import DirectoryLeft, End, Left
from guest_stub.found import FoundFile
from guest_stub.links import Links, Name
from guest_stub.looking import CHUNK_BYTES, CHUNK_FILES, Chunk, Looked
from guest_stub.outcome import Outcome
from guest_stub.records import Record
from guest_stub.report import FileEnd, Report
from guest_stub.room import Room, places
from guest_stub.tally import Tally
from guest_stub.walk import Selection, Walk


@dataclass(frozen=True, slots=True)
class Shared:
    """What the threads of a scan have in common. stop: whether the scan is to end; waits while it pauses."""

    decisions: Decisions
    tally: Tally
    report: Report
    room: Room
    links: Links
    stop: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Outlets:
    """Where files go that no kept decision answers; called in the walking thread, with room taken.

    hash: they have to be read. ask: their digest is known, the SVM is to be asked.
    """

    hash: Callable[[Chunk], None]
    ask: Callable[[Sequence[Looked]], None]


class Walking:
    """The walk of one scan. It is its own WalkListener."""

    def __init__(self, shared: Shared, generation: Callable[[], int], outlets: Outlets) -> None:
        """generation: the SVM's current one, asked before each look-up."""
        self._shared = shared
        self._generation = generation
        self._outlets = outlets

    def run(self, selection: Selection) -> None:
        """Walk to the end, or until it is to stop; waits while the scan pauses and where there is no room."""
        shared = self._shared
        if shared.stop():
            return
        for batch in Walk(selection, self, shared.stop).batches():
            files, others = self._part(batch)
            shared.tally.seen(len(batch), sum([file.size for file in files]))
            sorted_out = shared.decisions.sort_out(files, self._generation())
            self._answer(sorted_out.decided)
            if not (self._ask(sorted_out.known) and self._hash(sorted_out.fresh) and self._others(others)):
                return
            if shared.stop():  # a directory may hold any number of batches
                return

    def _part(self, batch: Sequence[FoundFile]) -> tuple[Sequence[FoundFile], Sequence[FoundFile]]:
        """The names in a batch to look at files under, and other names of such files."""
        if not any([file.names > 1 for file in batch]):
            return batch, ()
        files: list[FoundFile] = []
        others: list[FoundFile] = []
        for file in batch:
            several = file.names > 1 and self._shared.links.meet(file, wait=False) is not Name.FIRST
            (others if several else files).append(file)
        return files, others

    def _others(self, names: Sequence[FoundFile]) -> bool:
        """End names whose file was looked at, let others wait for that; False when the scan is to end.

        Called when the files are on their way, since it waits for room, which only their ends give back.
        """
        shared = self._shared
        for name in names:
            if not self._take_room([name]):
                return False
            kind = shared.links.meet(name, wait=True)
            if kind is Name.FIRST:  # the one that was to be so went away
                shared.tally.add("bytes", name.size)
                self._outlets.hash(Chunk([name]))
            elif kind is Name.DONE:
                shared.room.give_back(places(name), name.size)
                self._end(Left.HARD_LINK, name.directory, name.name, "")
        return True

    def _answer(self, decided: Sequence[tuple[FoundFile, Record]]) -> None:
        """End the files that a kept decision answers."""
        shared = self._shared
        counts = Counter([record.outcome for _, record in decided])
        for number, count in counts.items():
            outcome = Outcome(number)
            shared.tally.end(outcome, count)
            if shared.report.wants(outcome):
                for file, record in decided:
                    if record.outcome == outcome:
                        self._report(file, record, outcome)
        shared.tally.add("from_decisions", len(decided))
        for file, _ in decided:
            if file.names > 1:
                shared.links.done(file)  # nobody waits: its other names are still to be met

    def _report(self, file: FoundFile, record: Record, outcome: Outcome) -> None:
        threat, engine, member, category = record.said()
        path = f"{file.directory}/{file.name}"
        said = (threat, engine, member)
        end = FileEnd(path, outcome, record.sha256, *said, category=category, kept=True, inode=file.key)
        self._shared.report.file(end, wait=True)

    def _ask(self, known: Sequence[tuple[FoundFile, bytes]]) -> bool:
        """Have the SVM asked about files whose digest is known; False when the scan is to end."""
        for start in range(0, len(known), CHUNK_FILES):
            chunk = known[start : start + CHUNK_FILES]
            if not self._take_room([file for file, _ in chunk]):
                return False
            self._shared.tally.add("known_digests", len(chunk))
            self._outlets.ask([Looked.known(file, sha256) for file, sha256 in chunk])
        return True

    def _hash(self, fresh: Sequence[FoundFile]) -> bool:
        """Have files hashed, in chunks of a like amount of work; False when the scan is to end."""
        chunk: list[FoundFile] = []
        size = 0
        for file in fresh:
            chunk.append(file)
            size += file.size
            if len(chunk) >= CHUNK_FILES or size >= CHUNK_BYTES:
                if not self._hash_chunk(chunk):
                    return False
                chunk, size = [], 0
        return not chunk or self._hash_chunk(chunk)

    def _hash_chunk(self, files: Sequence[FoundFile]) -> bool:
        if not self._take_room(files):
            return False
        self._outlets.hash(Chunk(files))
        return True

    def _take_room(self, files: Sequence[FoundFile]) -> bool:
        return self._shared.room.take(sum(map(places, files)), sum([file.size for file in files]))

    def left(self, end: End, directory: str, name: str, reason: str) -> None:
        """See WalkListener."""
        self._shared.tally.seen(1)
        self._end(end, directory, name, reason)

    def _end(self, end: End, directory: str, name: str, reason: str) -> None:
        self._shared.tally.end(end)
        if self._shared.report.wants(end):
            self._shared.report.file(FileEnd(f"{directory}/{name}", end, reason=reason), wait=True)

    def directory_left(self, why: DirectoryLeft, path: str, reason: str) -> None:
        """See WalkListener."""
        self._shared.tally.directory_left(why)
        self._shared.report.directory(why, path, reason)

    def directory_entered(self) -> None:
        """See WalkListener."""
        self._shared.tally.add("directories", 1)
