"""Tests of the bytes around file content: the generated classes read and write the same."""

import pytest
from lightagent.v1.guest_pb2 import ScanAbort, ScanChunk, ScanHeader, ScanPart, ScanRequest

from guest_stub.svm_link.framing import ABORT, MAX_CHUNK_BYTES, Headers, before_chunk

SUM = 0xFEDC_BA98_7654_3210
HEADER = ScanHeader(lease=(1 << 64) - 1, sha256=bytes(range(32)), size=5 << 40, name=b"n" * 255)


@pytest.mark.parametrize("length", [1, 127, 128, 16_383, 16_384, 256 << 10, MAX_CHUNK_BYTES])
def test_a_chunk_is_read_back(length: int) -> None:
    """Data of every length comes out as it went in, with its checksum."""
    data = b"\x7f\x80" * (length // 2) + b"\xff" * (length % 2)
    request = ScanRequest.FromString(before_chunk(length, SUM) + data)
    assert request == ScanRequest(parts=[ScanPart(chunk=ScanChunk(data=data, xxh3=SUM))])


def test_headers_are_read_back() -> None:
    """All that a header says comes out as it went in, and nothing of the one before."""
    headers = Headers()
    for header in (HEADER, ScanHeader(lease=1, sha256=bytes(32)), HEADER):
        part = headers.part(header.lease, header.sha256, header.size, header.name)
        assert ScanRequest.FromString(part) == ScanRequest(parts=[ScanPart(header=header)])


def test_parts_one_after_another_are_one_message() -> None:
    """The parts of a message keep their order."""
    header = Headers().part(HEADER.lease, HEADER.sha256, HEADER.size, HEADER.name)
    request = ScanRequest.FromString(header + before_chunk(2, SUM) + b"ab" + ABORT)
    assert list(request.parts) == [
        ScanPart(header=HEADER),
        ScanPart(chunk=ScanChunk(data=b"ab", xxh3=SUM)),
        ScanPart(abort=ScanAbort()),
    ]
