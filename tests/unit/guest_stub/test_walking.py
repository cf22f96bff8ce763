"""Tests of the walking thread."""

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from threading import Event

from guest_stub.decisions import Decisions
from guest_stub.ends import Left
from guest_stub.hashing import HashLimits
from guest_stub.links import Links
from guest_stub.looking import CHUNK_FILES, Chunk, Looked, look
from guest_stub.outcome import Outcome
from guest_stub.records import Record, encode, texts
from guest_stub.room import Room
from guest_stub.tally import Tally
from guest_stub.walk import Selection
from guest_stub.walking import Outlets, Shared, Walking
from tests.support.stub_scans import Told, later, store_settings

GENERATION = 7


class Walked:
    """A walk, and all that came out of it."""

    def __init__(
        self, state: Path, room: Room | None = None, hash: Callable[[Chunk], None] | None = None
    ) -> None:
        """hash: takes what is to be hashed, else `chunks` does."""
        self.told = Told()
        self.chunks: list[Chunk] = []
        self.asked: list[Looked] = []
        self.stop = Event()
        self.room = room or Room()
        self.links = Links()
        self.tally = Tally()
        self._state = state
        self._hash = hash or self.chunks.append

    def run(self, top: Path, keep: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """Walk a tree, with decisions kept of it before."""
        with closing(Decisions(store_settings(self._state), later)) as decisions:
            decisions.keep(keep)
            shared = Shared(decisions, self.tally, self.told, self.room, self.links, self.stop.is_set)
            walking = Walking(shared, lambda: GENERATION, Outlets(self._hash, self.asked.extend))
            walking.run(Selection((str(top),)))


def tree(top: Path, count: int, size: int = 1) -> Path:
    """A directory of files."""
    top.mkdir()
    for number in range(count):
        (top / f"f{number:03}").write_bytes(bytes([number % 256]) * size)
    return top


def kept(walked: Walked, generation: int, outcome: Outcome, said: bytes = b"") -> list[tuple[bytes, bytes]]:
    """Records of all files that a walk handed out to be hashed."""
    return [
        (each.key, encode(each.stamp, Record(generation, 2**32 - 1, outcome, each.sha256, said)))
        for chunk in walked.chunks
        for each in look(chunk, HashLimits(1 << 40), later)
    ]


def test_files_that_nothing_is_known_of_are_to_be_hashed(tmp_path: Path) -> None:
    """They come out in chunks, with room taken for each, and are counted as seen."""
    walked = Walked(tmp_path / "state")
    walked.run(tree(tmp_path / "t", 2 * CHUNK_FILES + 1))
    assert [len(chunk.files) for chunk in walked.chunks] == [CHUNK_FILES, CHUNK_FILES, 1]
    totals = walked.tally.totals()
    assert (totals.seen, totals.ended, totals.bytes, totals.directories) == (129, 0, 129, 1)
    walked.room.give_back(129, 129)
    assert walked.room.empty


def test_large_files_make_small_chunks(tmp_path: Path) -> None:
    """So that the threads share the work."""
    walked = Walked(tmp_path / "state")
    walked.run(tree(tmp_path / "t", 3, size=8 << 20))
    assert [len(chunk.files) for chunk in walked.chunks] == [1, 1, 1]


def test_kept_decisions_answer(tmp_path: Path) -> None:
    """Nothing is read nor asked; detections are told with all that is known of them."""
    top = tree(tmp_path / "t", 5)
    first = Walked(tmp_path / "state")
    first.run(top)
    second = Walked(tmp_path / "state")
    second.run(top, kept(first, GENERATION, Outcome.MALICIOUS, texts("Eicar", "eicar", "m", "Test")))
    assert (second.chunks, second.asked) == ([], [])
    assert second.tally.final().ends == {Outcome.MALICIOUS: 5}
    assert second.tally.final().from_decisions == 5
    assert {
        (file.threat, file.engine, file.member, file.category, file.kept) for file in second.told.files
    } == {("Eicar", "eicar", "m", "Test", True)}


def test_plain_answers_are_counted_and_not_told(tmp_path: Path) -> None:
    """Where nobody wants a line for plain files, none is made."""
    top = tree(tmp_path / "t", 5)
    first = Walked(tmp_path / "state")
    first.run(top)
    second = Walked(tmp_path / "state")
    second.told.everything = False
    second.run(top, kept(first, GENERATION, Outcome.NOT_DETECTED))
    assert second.tally.final().ends == {Outcome.NOT_DETECTED: 5}
    assert second.told.files == []


def test_known_digests_are_asked_about_without_reading(tmp_path: Path) -> None:
    """A decision of another generation saves the hashing."""
    top = tree(tmp_path / "t", CHUNK_FILES + 5)
    first = Walked(tmp_path / "state")
    first.run(top)
    second = Walked(tmp_path / "state")
    second.run(top, kept(first, GENERATION - 1, Outcome.NOT_DETECTED))
    assert second.chunks == []
    assert len(second.asked) == CHUNK_FILES + 5
    assert second.tally.totals().known_digests == CHUNK_FILES + 5
    assert all(file.sha256 and file.end is None for file in second.asked)


def linked(top: Path, names: str = "abc") -> list[Path]:
    """A file with several names."""
    top.mkdir()
    paths = [top / name for name in names]
    paths[0].write_bytes(b"one content")
    for path in paths[1:]:
        os.link(paths[0], path)
    return paths


def test_of_several_names_one_is_handed_out_and_the_others_wait(tmp_path: Path) -> None:
    """Each has its place in the room until the file was looked at."""
    linked(tmp_path / "t")
    walked = Walked(tmp_path / "state")
    walked.run(tmp_path / "t")
    [chunk] = walked.chunks
    [first] = chunk.files
    assert (first.name, first.names) == ("a", 3)
    totals = walked.tally.totals()
    assert (totals.seen, totals.ended, totals.bytes) == (3, 0, 11)
    assert sorted(other.name for other in walked.links.done(first)) == ["b", "c"]
    walked.room.give_back(3, 33)
    assert walked.room.empty


def test_names_of_what_a_kept_decision_answers_do_not_wait(tmp_path: Path) -> None:
    """They end as hard links at once, and the room is as empty as before."""
    linked(tmp_path / "t")
    first = Walked(tmp_path / "state")
    first.run(tmp_path / "t")
    second = Walked(tmp_path / "state")
    second.run(tmp_path / "t", kept(first, GENERATION, Outcome.NOT_DETECTED))
    assert second.tally.final().ends == {Outcome.NOT_DETECTED: 1, Left.HARD_LINK: 2}
    assert second.told.ends[str(tmp_path / "t" / "b")] is Left.HARD_LINK
    assert second.room.empty


def test_a_name_takes_the_place_of_one_that_went_away(tmp_path: Path) -> None:
    """When no other name was met by then, the next one is looked at."""

    def goes_away(chunk: Chunk) -> None:
        walked.chunks.append(chunk)
        if len(walked.chunks) == 1:
            assert walked.links.missed(chunk.files[0]) is None

    linked(tmp_path / "t")
    walked = Walked(tmp_path / "state", hash=goes_away)
    walked.run(tmp_path / "t")
    assert [file.name for chunk in walked.chunks for file in chunk.files] == ["a", "b"]
    assert [other.name for other in walked.links.done(walked.chunks[1].files[0])] == ["c"]


def test_a_closed_room_ends_the_walk(tmp_path: Path) -> None:
    """When the scan is to end nothing more comes out."""
    room = Room()
    room.close()
    walked = Walked(tmp_path / "state", room)
    walked.run(tree(tmp_path / "t", 5))
    assert walked.chunks == []
