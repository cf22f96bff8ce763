"""What a scan of disks found and what it did not look at: gathered, and told to people and programs."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from appliance.cli.console import plain
from appliance.domain.outcome import Disposition, Unanswered
from appliance.hypervisor.disks.said import FileSeen, VolumeSeen
from appliance.rpc.images_client import ImageAnswer

MOST_KEPT: Final = 10_000  # finds, and as many problems; of more the number
EVERYTHING_FINE, FOUND, NOT_EVERYTHING = 0, 1, 2
_DETECTIONS: Final = (int(Disposition.MALICIOUS), int(Disposition.SUSPICIOUS))
_VERDICTS: Final = tuple(map(int, Disposition))


@dataclass(frozen=True, slots=True)
class Find:
    """A malicious or suspicious file."""

    volume: str
    path: bytes
    size: int
    sha256: bytes
    answer: ImageAnswer

    @property
    def where(self) -> str:
        """With the volume in front, and what inside of it it was."""
        member = f"!{self.answer.member}" if self.answer.member else ""
        return f"{self.volume}: {shown(self.path)}{member}"


@dataclass(slots=True)
class Report:
    """Fill it while the scan goes on. image: what is scanned, for people."""

    image: str
    files: int = 0
    read: int = 0  # bytes of all files
    hashed: int = 0  # bytes that were read of them
    unchanged: int = 0  # files that were not read, being as they were at the scan before
    unchanged_bytes: int = 0
    asked: int = 0  # digests, each once
    sent: int = 0
    sent_bytes: int = 0
    outcomes: Counter[int] = field(default_factory=Counter)
    finds: list[Find] = field(default_factory=list)
    problems: list[tuple[str, bytes, str]] = field(default_factory=list)  # volume, path, sentence
    problem_count: int = 0
    volumes: list[VolumeSeen] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # that do not count against completeness
    is_cut: bool = False  # it did not come to its end

    def volume(self, volume: VolumeSeen) -> None:
        """A volume was found."""
        self.volumes.append(volume)
        if not volume.kind and not volume.harmless:
            self.problem(volume.name, b"", volume.note)

    def file(self, volume: str, file: FileSeen, answer: ImageAnswer) -> None:
        """A file is settled."""
        self.files += 1
        self.read += file.size
        if file.unchanged:
            self.unchanged += 1
            self.unchanged_bytes += file.size
        self.outcomes[answer.outcome] += 1
        if answer.outcome in _DETECTIONS and len(self.finds) < MOST_KEPT:
            self.finds.append(Find(volume, file.path, file.size, file.sha256, answer))
        elif answer.outcome not in _VERDICTS:
            self.problem(volume, file.path, _words(answer))

    def problem(self, volume: str, path: bytes, sentence: str) -> None:
        """Something was not looked at."""
        self.problem_count += 1
        if len(self.problems) < MOST_KEPT:
            self.problems.append((volume, path, sentence))

    def cut(self, volume: str, path: bytes, sentence: str) -> None:
        """The same, and there may be files that were not even found."""
        self.is_cut = True
        self.problem(volume, path, sentence)

    def note(self, sentence: str) -> None:
        """Something that people should know."""
        self.notes.append(sentence)

    @property
    def malicious(self) -> int:
        """How many files are."""
        return self.outcomes[int(Disposition.MALICIOUS)]

    @property
    def suspicious(self) -> int:
        """How many files are."""
        return self.outcomes[int(Disposition.SUSPICIOUS)]

    @property
    def unanswered(self) -> int:
        """How many files have no verdict."""
        return self.files - sum(self.outcomes[verdict] for verdict in _VERDICTS)

    @property
    def is_complete(self) -> bool:
        """Whether everything was looked at."""
        return not self.problem_count

    @property
    def exit_code(self) -> int:
        """0 nothing found, 1 something found, 2 nothing found but not everything looked at."""
        if self.malicious or self.suspicious:
            return FOUND
        return EVERYTHING_FINE if self.is_complete else NOT_EVERYTHING

    # -- told

    def lines(self) -> Iterator[str]:
        """For people."""
        for find in self.finds:
            kind = "FOUND" if find.answer.outcome == Disposition.MALICIOUS else "FOUND (suspicious)"
            yield plain(f"{find.where}: {find.answer.threat or 'unnamed'} {kind}")
        if (more := self.malicious + self.suspicious - len(self.finds)) > 0:
            yield f"and {more:,} more that were FOUND"
        for volume, path, sentence in self.problems:
            where = f"{volume}: {shown(path)}" if path and path != b"/" else volume
            yield plain(f"{where}: NOT LOOKED AT ({sentence})")
        if self.problem_count > len(self.problems):
            yield f"and {self.problem_count - len(self.problems):,} more that were not looked at"
        for volume_seen in self.volumes:
            about = volume_seen.kind or volume_seen.note
            yield plain(f"{volume_seen.name}: {volume_seen.size / 1e6:,.1f} MB, {about}")
        yield from map(plain, self.notes)
        yield plain(f"{self.image}: {self.summary()}")

    def summary(self) -> str:
        """One line."""
        counted = [
            f"{self.files:,} files ({self.read / 1e6:,.1f} MB)",
            f"{self.malicious:,} malicious",
            f"{self.suspicious:,} suspicious",
            f"{self.problem_count:,} not looked at",
            f"{self.sent:,} sent to the SVM ({self.sent_bytes / 1e6:,.1f} MB)",
        ]
        if self.unchanged:
            megabytes = self.unchanged_bytes / 1e6
            counted.insert(
                1, f"of these {self.unchanged:,} ({megabytes:,.1f} MB) unchanged and not read again"
            )
        return ", ".join(counted)

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "image": self.image,
            "files": self.files,
            "bytes": self.read,
            "bytes_read": self.hashed,
            "unchanged": self.unchanged,
            "unchanged_bytes": self.unchanged_bytes,
            "digests": self.asked,
            "malicious": self.malicious,
            "suspicious": self.suspicious,
            "unanswered": self.unanswered,
            "not_looked_at": self.problem_count,
            "sent": self.sent,
            "sent_bytes": self.sent_bytes,
            "complete": self.is_complete,
            "notes": self.notes,
            "volumes": [
                {"name": each.name, "bytes": each.size, "file_system": each.kind, "note": each.note}
                for each in self.volumes
            ],
            "found": [
                {
                    "volume": find.volume,
                    "path": shown(find.path),
                    "sha256": find.sha256.hex(),
                    "bytes": find.size,
                    "outcome": Disposition(find.answer.outcome).name.lower(),
                    "threat": find.answer.threat,
                    "member": find.answer.member,
                }
                for find in self.finds
            ],
            "problems": [
                {"volume": volume, "path": shown(path), "why": sentence}
                for volume, path, sentence in self.problems
            ],
        }


def shown(path: bytes) -> str:
    """A path of a guest, for people: what is no UTF-8 as escapes."""
    return path.decode("utf-8", "backslashreplace")


def _words(answer: ImageAnswer) -> str:
    if answer.outcome == Unanswered.CHANGED and answer.reason:
        return answer.reason  # which says itself what was the matter
    try:
        name = Unanswered(answer.outcome).name.lower().replace("_", " ")
    except ValueError:
        name = f"answered with {answer.outcome}, which this program does not know: update it"
    return f"{name}: {answer.reason}" if answer.reason else name
