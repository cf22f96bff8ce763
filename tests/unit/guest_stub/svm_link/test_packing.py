"""Tests of cutting file content into messages."""

import os
from dataclasses import replace
from pathlib import Path

from lightagent.v1.guest_pb2 import ScanPart, ScanRequest
from xxhash import xxh3_64_intdigest

from guest_stub.outcome import Outcome
from guest_stub.reading import PIECE_BYTES
from guest_stub.svm_link.packing import Packed, Packer
from guest_stub.svm_link.question import FirstReply, Question, Upload
from guest_stub.svm_link.values import LinkPolicy
from tests.support.descriptors import open_descriptors
from tests.support.held_files import HeldFiles
from tests.support.page_cache import evict, resident_pages

ROOM = 1000
POLICY = LinkPolicy(max_file_bytes=1 << 20, max_batch=10, max_chunk_bytes=ROOM, heartbeat_seconds=30.0)


def uploads_of(files: HeldFiles) -> list[Upload]:
    """An upload for each file, as a question hands it out."""
    uploads: list[Upload] = []
    question = Question(files.batch(), uploads.extend, lambda _: None)
    count = len(files.digests)
    leases = {index: 500 + index for index in range(count)}
    question.first(FirstReply([20] * count, {}, leases, 1, 1.0))
    return uploads


def parts_of(packed: Packed) -> list[ScanPart]:
    """The parts of a message, as an SVM reads them."""
    return list(ScanRequest.FromString(packed.request).parts)


def kinds(packed: Packed) -> list[str | None]:
    """The kinds of a message's parts."""
    return [part.WhichOneof("part") for part in parts_of(packed)]


def data_of(packed: Packed) -> list[bytes]:
    """The chunks of a message; each must match its checksum."""
    chunks = [part.chunk for part in parts_of(packed) if part.HasField("chunk")]
    assert all(chunk.xxh3 == xxh3_64_intdigest(chunk.data) for chunk in chunks)
    return [chunk.data for chunk in chunks]


def test_small_files_share_a_message(tmp_path: Path) -> None:
    """Each file is a header and a chunk; an empty one is a header alone."""
    files = HeldFiles(tmp_path, [b"one", b"", b"three"])
    packed = Packer().pack(uploads_of(files), POLICY)
    assert kinds(packed) == ["header", "chunk", "header", "header", "chunk"]
    assert data_of(packed) == [b"one", b"three"]
    headers = [part.header for part in parts_of(packed) if part.HasField("header")]
    assert [header.lease for header in headers] == [500, 501, 502]
    assert [header.sha256 for header in headers] == files.digests
    assert [header.size for header in headers] == [3, 0, 5]
    assert [header.name for header in headers] == [b"file0.bin", b"file1.bin", b"file2.bin"]
    assert [upload.lease for upload in packed.begun] == [500, 501, 502]
    assert packed.ended == []


def test_an_empty_file_that_has_changed_is_not_given_up(tmp_path: Path) -> None:
    """Its header was all of it, so the SVM has it whole, and an abort would find no upload."""
    files = HeldFiles(tmp_path, [b"", b""])
    files.paths[0].write_bytes(b"grown")
    files.paths[1].unlink()
    packed = Packer().pack(uploads_of(files), POLICY)
    assert kinds(packed) == ["header", "header"]
    assert [upload.lease for upload in packed.begun] == [500, 501]
    assert packed.ended == []


def test_a_large_file_fills_several_messages(tmp_path: Path) -> None:
    """Each message is filled up; the next file begins in what is left of the last one."""
    content = os.urandom(2 * ROOM + 300)
    files = HeldFiles(tmp_path, [content, b"next"])
    first, second = uploads_of(files)
    packer = Packer()
    messages = [packer.pack([first], POLICY), packer.pack([], POLICY)]
    assert packer.left == 300
    messages.append(packer.pack([second], POLICY))
    assert packer.left == 0
    assert [kinds(message) for message in messages] == [
        ["header", "chunk"],
        ["chunk"],
        ["chunk", "header", "chunk"],
    ]
    chunks = [data for message in messages for data in data_of(message)]
    assert [len(data) for data in chunks] == [ROOM, ROOM, 300, 4]
    assert b"".join(chunks) == content + b"next"


def test_the_middle_of_a_file_in_memory_needs_no_thread(tmp_path: Path) -> None:
    """Whole messages of it are packed at once; its beginning and its end are not."""
    content = os.urandom(3 * ROOM)
    [upload] = uploads_of(HeldFiles(tmp_path, [content]))
    packer = Packer()
    assert packer.pack_resident(POLICY) is None
    messages = [packer.pack([upload], POLICY)]
    middle = packer.pack_resident(POLICY)
    assert middle is not None
    assert (kinds(middle), middle.begun, packer.left) == (["chunk"], [], ROOM)
    assert packer.pack_resident(POLICY) is None
    messages += [middle, packer.pack([], POLICY)]
    assert b"".join(data for message in messages for data in data_of(message)) == content
    assert packer.left == 0


def test_what_is_not_in_memory_is_left_to_the_thread(tmp_path: Path) -> None:
    """Nothing is lost of it, and afterwards it is in memory as little as before."""
    content = os.urandom(6 * PIECE_BYTES)
    files = HeldFiles(tmp_path, [content])
    policy = replace(POLICY, max_file_bytes=len(content), max_chunk_bytes=2 * PIECE_BYTES)
    packer = Packer()
    evict(files.paths[0])
    messages = [packer.pack(uploads_of(files), policy)]
    assert packer.pack_resident(policy) is None
    messages += [packer.pack([], policy), packer.pack([], policy)]
    assert b"".join(data for message in messages for data in data_of(message)) == content
    assert not any(resident_pages(files.paths[0]))


def test_a_new_policy_counts_in_the_middle_of_a_file(tmp_path: Path) -> None:
    """No later message is larger than the SVM takes now."""
    [upload] = uploads_of(HeldFiles(tmp_path, [bytes(5 * ROOM)]))
    packer = Packer()
    packer.pack([upload], POLICY)
    smaller = replace(POLICY, max_chunk_bytes=ROOM // 2)
    assert packer.pack_resident(smaller) is None
    assert [len(data) for data in data_of(packer.pack([], smaller))] == [ROOM // 2]


def test_a_file_that_is_gone_is_given_up(tmp_path: Path) -> None:
    """A header and an abort pass the lease on, and the file ends as CHANGED."""
    files = HeldFiles(tmp_path, [b"one", b"two"])
    files.paths[0].unlink()
    gone, there = uploads_of(files)
    packed = Packer().pack([gone, there], POLICY)
    assert kinds(packed) == ["header", "abort", "header", "chunk"]
    [(upload, answer)] = packed.ended
    assert (upload, answer.outcome) == (gone, Outcome.CHANGED)
    assert packed.begun == [there]


def test_a_file_of_another_size_is_given_up(tmp_path: Path) -> None:
    """A file that grew or shrank since it was hashed is not sent."""
    for change in (b"longer", b"s"):
        files = HeldFiles(tmp_path, [b"four"])
        uploads = uploads_of(files)
        files.paths[0].write_bytes(change)
        assert aborted(Packer().pack(uploads, POLICY)) is Outcome.CHANGED


def aborted(packed: Packed) -> Outcome:
    """The end of the one upload of a message, which must have been given up."""
    assert kinds(packed)[-1] == "abort"
    [(_, answer)] = packed.ended
    return answer.outcome


def test_a_directory_in_the_files_place_is_given_up(tmp_path: Path) -> None:
    """What is no regular file any more is not sent."""
    files = HeldFiles(tmp_path, [b"four"])
    uploads = uploads_of(files)
    files.paths[0].unlink()
    files.paths[0].mkdir()
    assert aborted(Packer().pack(uploads, POLICY)) is Outcome.CHANGED


def test_a_file_that_shrinks_on_the_way_is_given_up(tmp_path: Path) -> None:
    """A file that is cut after its first chunk is aborted."""
    files = HeldFiles(tmp_path, [b"x" * (3 * ROOM)])
    packer = Packer()
    packer.pack(uploads_of(files), POLICY)
    os.truncate(files.paths[0], ROOM + 10)
    assert aborted(packer.pack([], POLICY)) is Outcome.CHANGED
    assert packer.left == 0


def test_a_file_that_nobody_wants_any_more_is_given_up(tmp_path: Path) -> None:
    """When the digest got its verdict otherwise, the rest of a large file stays here."""
    files = HeldFiles(tmp_path, [b"x" * (3 * ROOM)])
    [upload] = uploads_of(files)
    packer = Packer()
    packer.pack([upload], POLICY)
    upload.question.fail(Outcome.TIMED_OUT, "late")
    assert packer.pack_resident(POLICY) is None
    packed = packer.pack([], POLICY)
    assert kinds(packed) == ["abort"]
    assert packer.left == 0


def test_a_file_over_the_svms_limit_is_not_opened(tmp_path: Path) -> None:
    """Its header and an abort give the lease back, and it ends as TOO_LARGE."""
    files = HeldFiles(tmp_path, [b"x" * 11])
    files.paths[0].unlink()
    packed = Packer().pack(uploads_of(files), replace(POLICY, max_file_bytes=10))
    assert kinds(packed) == ["header", "abort"]
    assert aborted(packed) is Outcome.TOO_LARGE


def test_a_file_that_cannot_be_read_is_unreadable(tmp_path: Path) -> None:
    """An error on opening that is not the file's going away ends as UNREADABLE."""
    files = HeldFiles(tmp_path, [b"x"])
    files.paths[0] = tmp_path / ("n" * 300)
    assert aborted(Packer().pack(uploads_of(files), POLICY)) is Outcome.UNREADABLE


def test_close_gives_back_the_file_under_way(tmp_path: Path) -> None:
    """The stream's end closes the file, and no descriptor stays open."""
    before = open_descriptors()
    files = HeldFiles(tmp_path, [b"x" * (3 * ROOM), b"", b"small"])
    uploads = uploads_of(files)
    packer = Packer()
    packer.pack([uploads[1], uploads[2], uploads[0]], POLICY)
    assert packer.close() is uploads[0]
    assert packer.close() is None
    assert (packer.left, open_descriptors()) == (0, before)
