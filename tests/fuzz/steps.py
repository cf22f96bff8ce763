"""What hostile guests do, step by step. A story names calls, leases and contents by small numbers, so that it
shrinks, and means something in an SVM that has lived through other stories."""

from dataclasses import dataclass
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from hypothesis import strategies as st
from lightagent.v1 import guest_pb2

from tests.fuzz.messages import Hints, messages
from tests.fuzz.mutation import mutated

GUESTS = 3
CONTENTS = 6  # of a story, see hostile.contents_of
MOST_STEPS = 40
_ENOUGH_STEPS = 6  # for a call to come into a state that is worth to be spoiled

PROTECTION = "/lightagent.v1.Protection/"
METHODS = {
    "Attach": guest_pb2.AttachRequest,
    "Check": guest_pb2.CheckRequest,
    "Scan": guest_pb2.ScanRequest,
    "KsnInfo": guest_pb2.KsnInfoRequest,
    "CheckUrl": guest_pb2.CheckUrlRequest,
}
OTHERS = (
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    "/lightagent.v1.Administration/GetStatus",  # is at another door
    "/lightagent.v1.Protection/Nothing",
    "/",
)
TICKETS = ("own", "own", "own", "own", "of another", "none", "made up")
SESSIONS = ("",) * 8 + ("0123456789abcdef", "fedcba9876543210", "not a session", "0" * 1000)


@dataclass(frozen=True)
class Open:
    """Begin a call. deaf: it never reads what it is told."""

    guest: int
    path: str
    ticket: str = "own"
    session: str = ""
    deaf: bool = False


@dataclass(frozen=True)
class Hello:
    """Attach as guests do, and so be able to ask."""

    guest: int
    session: str
    program: int


@dataclass(frozen=True)
class Say:
    """Write to the guest's newest call of a method. what: a message, bytes, or the name of a bomb."""

    guest: int
    path: str
    what: Message | bytes | str


@dataclass(frozen=True)
class Ask:
    """A sound question about contents, on a Check of the guest's."""

    guest: int
    session: str
    contents: tuple[int, ...]
    on_access: bool


@dataclass(frozen=True)
class Upload:
    """Send a content on a Scan of its own. twist: what is wrong with it.

    content: that is asked about first, to have a lease; None for one of the leases that were heard of before.
    """

    guest: int
    session: str
    content: int | None
    lease: int
    twist: str


@dataclass(frozen=True)
class End:
    """End a call: "half-close", "cancel"; or wait until what was said on it has been sent ("flush")."""

    guest: int
    call: int
    how: str


@dataclass(frozen=True)
class Leave:
    """Go away: "ticket" gives that back, "channel" closes the connection with all calls."""

    guest: int
    what: str


@dataclass(frozen=True)
class Noise:
    """Connect and write what is no HTTP/2, or the beginning of some."""

    data: bytes


@dataclass(frozen=True)
class Wait:
    """Hear what is said for a moment."""


Step = Open | Hello | Say | Ask | Upload | End | Leave | Noise | Wait

TWISTS = (
    "none",
    "short",
    "long",
    "other content",
    "other digest",
    "no chunk",
    "no end",
    "two headers",
    "bad checksum",
    "abort",
    "abort twice",
    "byte by byte",
    "huge size",
)
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")
_FRAMES = st.binary(max_size=64) | mutated(
    st.sampled_from(
        [
            _PREFACE,
            _PREFACE + bytes.fromhex("000004030000000001") + bytes(4),  # RST_STREAM of a stream that is none
            _PREFACE + bytes.fromhex("000008060000000000") * 50,  # PING without its payload
            _PREFACE + bytes.fromhex("ffffff000000000001"),  # DATA of 16 MiB
            _PREFACE + bytes.fromhex("000005090000000001") + bytes(5),  # CONTINUATION of nothing
        ]
    )
)
# One byte stands for the digest of a content of the story: see hostile.rewritten.
_DIGEST = (
    st.integers(0, CONTENTS - 1).map(lambda number: bytes([number]))
    | st.just(bytes(32))
    | st.binary(min_size=31, max_size=33)
    | st.just(b"")
)
_DURATION = st.builds(
    Duration,
    seconds=st.sampled_from([0, 1, -1, 600, 1 << 62, -(1 << 63)]),
    nanos=st.sampled_from([0, 1, -1, 999_999_999, (1 << 31) - 1, -(1 << 31)]),
)
_SIXTEEN = st.sampled_from([bytes(16), bytes(range(16)), b"\xff" * 16, b"short", b""])
_URLS = st.text(max_size=40) | st.sampled_from(
    ["http://example.com/", "http://a\u3002b/", "http://" + "a." * 3000, "x" * 8193, "http://[::1", "\0"]
)
HINTS: Hints = {
    "sha256": _DIGEST,
    "scan": _SIXTEEN,
    "journal": _SIXTEEN,
    "Duration": _DURATION,
    "url": _URLS,
    "request_id": st.integers(0, 3) | st.just((1 << 64) - 1),
    "lease": st.integers(0, 8) | st.just((1 << 64) - 1),
    "size": st.integers(0, 300) | st.sampled_from([1 << 20, (1 << 20) + 1, (1 << 64) - 1]),
    "data": st.binary(max_size=300) | st.just(bytes(800 * 1024)),
}
# Small on the wire, large or deep once it is taken apart; and what is over the bound of a message.
BOMBS = {
    "deep": b"\x0b" * 200_000,
    "many empty fields": b"\x0a\x00" * 500_000,
    "many empty digests": b"\x1a\x00" * 500_000,
    "just over": bytes((1 << 20) + 1),
    "far over": bytes(5 << 20),
    "endless number": b"\x08" + b"\xff" * 100,
    "a length beyond all": b"\x0a\xff\xff\xff\xff\x07",
    "nothing": b"",
}


def _said(name: str) -> st.SearchStrategy[Say]:
    """What is said on a method: mostly a message of its kind."""
    sound: st.SearchStrategy[Message] = messages(METHODS[name], HINTS)
    broken = mutated(sound.map(lambda message: message.SerializeToString()))
    odd = st.one_of(broken, st.binary(max_size=64), st.sampled_from(sorted(BOMBS)))
    return st.builds(
        Say, st.integers(0, GUESTS - 1), st.just(PROTECTION + name), st.one_of(*[sound] * 6, odd)
    )


def _later() -> st.SearchStrategy[Say]:
    """What an attached guest may say."""
    events = messages(guest_pb2.GuestEvents, HINTS).map(lambda said: guest_pb2.AttachRequest(events=said))
    scans = messages(guest_pb2.ScanStatus, HINTS).map(lambda said: guest_pb2.AttachRequest(scan=said))
    return st.builds(Say, st.integers(0, GUESTS - 1), st.just(PROTECTION + "Attach"), events | scans)


def steps() -> st.SearchStrategy[Step]:
    """One step of any guest."""
    guest, call = st.integers(0, GUESTS - 1), st.integers(0, 5)
    session, content = st.sampled_from(SESSIONS), st.integers(0, CONTENTS - 1)
    twist = st.sampled_from(TWISTS)
    contents = st.lists(content, min_size=1, max_size=4).map(tuple)
    paths = st.sampled_from([*(PROTECTION + name for name in METHODS), *OTHERS])
    kinds: list[st.SearchStrategy[Any]] = [
        st.builds(Open, guest, paths, st.sampled_from(TICKETS), session, st.booleans()),
        st.builds(Hello, guest, session, st.integers(0, 2)),
        *(_said(name) for name in METHODS),
        *[_later()] * 2,
        st.builds(Say, guest, st.sampled_from(OTHERS), st.binary(max_size=64)),
        *[st.builds(Ask, guest, session, contents, st.booleans())] * 3,
        *[st.builds(Upload, guest, session, st.none() | content, st.integers(0, 8), twist)] * 4,
        st.builds(End, guest, call, st.sampled_from(["half-close", "cancel", "flush"])),
        st.builds(Leave, guest, st.sampled_from(["ticket", "channel"])),
        st.builds(Noise, _FRAMES),
        st.just(Wait()),
    ]
    return st.one_of(kinds)


def stories() -> st.SearchStrategy[list[Step]]:
    """What several guests do, in the order in which they do it; most of them attach before all else."""
    hello = st.builds(Hello, st.integers(0, GUESTS - 1), st.just(""), st.integers(0, 1))
    greeted = st.lists(hello, min_size=GUESTS - 1, max_size=GUESTS, unique_by=lambda step: step.guest)
    rest = st.lists(steps(), min_size=_ENOUGH_STEPS, max_size=MOST_STEPS)
    return st.builds(lambda some, more: [*some, *more], greeted, rest)
