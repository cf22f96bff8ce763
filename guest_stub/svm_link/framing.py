"""The bytes of a ScanRequest, so that file content is copied once on its way into one.

A protobuf message copies content as it is set, and again as it is serialized, which costs as much as
hashing it. What stands here goes around the content: serialized messages that are put together are one
message, so a ScanRequest is its parts' bytes, one after another. Field numbers are the generated ones.
"""

from struct import Struct

from google.protobuf.descriptor import Descriptor
from lightagent.v1.guest_pb2 import ScanAbort, ScanChunk, ScanPart, ScanRequest

MAX_CHUNK_BYTES = (1 << 21) - 64  # a part of it, with what stands around it, has a length of three bytes

_LENGTH_DELIMITED, _FIXED64 = 2, 1  # wire types, see protobuf.dev/programming-guides/encoding


def _tag(message: Descriptor, field: str, wire_type: int) -> bytes:
    """What stands before a field; one byte, as every field number here is under 16."""
    number: int = message.fields_by_name[field].number
    return bytes([number << 3 | wire_type])


_PARTS = _tag(ScanRequest.DESCRIPTOR, "parts", _LENGTH_DELIMITED)
_CHUNK = _tag(ScanPart.DESCRIPTOR, "chunk", _LENGTH_DELIMITED)
_DATA = _tag(ScanChunk.DESCRIPTOR, "data", _LENGTH_DELIMITED)
_XXH3 = _tag(ScanChunk.DESCRIPTOR, "xxh3", _FIXED64)
_SUM = Struct("<cQc")  # the tag of the checksum, the checksum, the tag of the data

ABORT = ScanRequest(parts=[ScanPart(abort=ScanAbort())]).SerializeToString()
"""A part that gives up the open upload."""


class Headers:
    """Makes parts that begin uploads; for one thread."""

    def __init__(self) -> None:
        """One message is filled again and again, which takes a fifth of the time of new ones."""
        self._request = ScanRequest()
        self._header = self._request.parts.add().header

    def part(self, lease: int, sha256: bytes, size: int, name: bytes) -> bytes:
        """The part of one upload."""
        header = self._header
        header.lease = lease
        header.sha256 = sha256
        header.size = size
        header.name = name
        return self._request.SerializeToString()


def before_chunk(length: int, xxh3: int) -> bytes:
    """What stands before a chunk and begins its part. length: of its bytes, up to MAX_CHUNK_BYTES."""
    data = _SUM.pack(_XXH3, xxh3, _DATA) + _varint(length)
    chunk = _CHUNK + _varint(len(data) + length) + data
    return _PARTS + _varint(len(chunk) + length) + chunk


def _varint(number: int) -> bytes:
    """A number under 2**21 as protobuf writes lengths: seven bits a byte, the lowest first."""
    if number < 1 << 7:
        return bytes((number,))
    if number < 1 << 14:
        return bytes((number & 0x7F | 0x80, number >> 7))
    return bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14))
