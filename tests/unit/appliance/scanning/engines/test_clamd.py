"""Tests of appliance/scanning/engines/clamd.py, with a socket that behaves as a test wants.

A real clamd shows its own limits here; tests/integration/test_clamd_engine.py has the rest of it.
"""

import array
import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from appliance.domain.content import ContentLabel
from appliance.domain.outcome import Disposition, Unanswered
from appliance.domain.verdict import Detection
from appliance.scanning.engines.clamd import MAX_REPLY_BYTES, ClamdEngine, clamd_version
from appliance.scanning.engines.content import Content
from appliance.scanning.engines.engine import EngineFailure
from tests.support import archives
from tests.support.clamd import Clamd

DEADLINE = 30.0
Talk = Callable[[socket.socket], None]


@contextmanager
def daemon(directory: Path, *talks: Talk) -> Iterator[Path]:
    """A socket whose first connection is served by the first of `talks`, and so on; then it is gone."""
    path = directory / "clamd.ctl"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(8)
    listener.settimeout(DEADLINE)

    def serve() -> None:
        for talk in talks:
            with suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(DEADLINE)
                    talk(connection)

    server = threading.Thread(target=serve)
    server.start()
    try:
        yield path
    finally:
        # Whoever was not called upon is, so that the thread ends.
        for _ in talks:
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
                knock.connect(str(path))
        server.join(DEADLINE)
        listener.close()
        path.unlink()


def command(connection: socket.socket) -> tuple[bytes, bytes]:
    """Take a FILDES command; return it and what can be read from the descriptor that came with it."""
    said, content = b"", b""
    while not content and said != b"zVERSION\0":
        data, ancillary, _, _ = connection.recvmsg(100, socket.CMSG_LEN(4))
        said += data
        for _, _, raw in ancillary:
            (fd,) = array.array("i", raw)
            content = os.pread(fd, 100, 0)
            os.close(fd)
        if not data:
            break
    return said, content


def replying(*pieces: bytes) -> Talk:
    """Take a command, then send `pieces` one by one and hang up."""

    def talk(connection: socket.socket) -> None:
        command(connection)
        for piece in pieces:
            connection.sendall(piece)

    return talk


def hanging_up(connection: socket.socket) -> None:
    """Take a command and hang up without a word."""
    command(connection)


def silent(connection: socket.socket) -> None:
    """Take a command and say nothing until the other side hangs up."""
    command(connection)
    connection.recv(1)


@contextmanager
def content(data: bytes = b"content") -> Iterator[Content]:
    """A content with a descriptor."""
    fd = os.memfd_create("content")
    try:
        os.write(fd, data)
        yield Content.of_descriptor(fd, ContentLabel(b"", len(data)))
    finally:
        os.close(fd)


def scan(path: Path, timeout: float = DEADLINE) -> list[Detection]:
    """What the engine says of some content."""
    with content() as given:
        return ClamdEngine(path, timeout).scan(given)


def failure(path: Path, timeout: float = DEADLINE) -> EngineFailure:
    """How the engine fails."""
    with pytest.raises(EngineFailure) as caught:
        scan(path, timeout)
    return caught.value


def test_the_descriptor_is_handed_over(tmp_path: Path) -> None:
    """clamd gets a descriptor of the content with the command, not its bytes."""
    seen: list[tuple[bytes, bytes]] = []

    def talk(connection: socket.socket) -> None:
        seen.append(command(connection))
        connection.sendall(b"fd[10]: OK\0")

    with daemon(tmp_path, talk) as path:
        assert scan(path) == []
    assert seen == [(b"zFILDES\0\0", b"content")]


@pytest.mark.parametrize(
    ("name", "disposition"),
    [
        (b"Win.Test.EICAR_HDB-1", Disposition.MALICIOUS),
        (b"Name: with a colon FOUND in it", Disposition.MALICIOUS),
        (b"PUA.Linux.Miner", Disposition.SUSPICIOUS),
        (b"Heuristics.Broken.Executable", Disposition.SUSPICIOUS),
    ],
)
def test_what_clamd_finds_is_detected(tmp_path: Path, name: bytes, disposition: Disposition) -> None:
    """A finding keeps clamd's name; what ClamAV only suspects is suspicious."""
    with daemon(tmp_path, replying(b"fd[10]: ", name, b" FOUND\0")) as path:
        assert scan(path) == [Detection(name.decode(), "clamd", "", disposition)]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (b"Heuristics.Limits.Exceeded.MaxFileSize", Unanswered.TOO_LARGE),
        (b"Heuristics.Encrypted.Zip", Unanswered.ENCRYPTED),
    ],
)
def test_what_clamd_could_not_look_at_is_no_verdict(tmp_path: Path, name: bytes, why: Unanswered) -> None:
    """clamd reports its limits and passwords as findings; they are unanswered here."""
    with daemon(tmp_path, replying(b"fd[10]: " + name + b" FOUND\0")) as path:
        assert failure(path).why is why


def test_an_error_of_clamd_is_passed_on(tmp_path: Path) -> None:
    """What clamd complains of stands in the sentence, made safe to print."""
    with daemon(tmp_path, replying(b"fd[10]: Can't allocate memory\x1b[2J ERROR\0")) as path:
        sentence = str(failure(path))
    assert "Can't allocate memory" in sentence
    assert sentence.isprintable()


def test_a_clamd_that_is_gone_is_named(tmp_path: Path) -> None:
    """Without a socket, or with nobody behind it, the sentence says where and what to do."""
    gone = failure(tmp_path / "clamd.ctl")
    assert gone.why is Unanswered.ENGINE_ERROR
    assert f"no clamd at {tmp_path}/clamd.ctl (No such file or directory): start it" in str(gone)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(tmp_path / "dead.ctl"))
    listener.close()
    assert "Connection refused" in str(failure(tmp_path / "dead.ctl"))


def test_a_path_too_long_for_a_socket_is_named(tmp_path: Path) -> None:
    """A path that no socket can have is a sentence as well."""
    assert "too long" in str(failure(tmp_path / ("x" * 200)))


def test_a_silent_clamd_times_out(tmp_path: Path) -> None:
    """A clamd that takes the content and never answers ends as timed out."""
    with daemon(tmp_path, silent) as path:
        slow = failure(path, timeout=0.2)
    assert slow.why is Unanswered.TIMED_OUT
    assert "did not answer in time" in str(slow)


def test_a_clamd_that_trickles_times_out_all_the_same(tmp_path: Path) -> None:
    """The time limit is of the whole conversation, not of each byte."""

    def trickle(connection: socket.socket) -> None:
        command(connection)
        connection.sendall(b"f")
        connection.recv(1)

    # Read when it begins, before it connects, and before each piece: the second piece is too late.
    times = iter([0.0, 0.0, 0.0, 100.0])
    with daemon(tmp_path, trickle) as path, content() as given, pytest.raises(EngineFailure) as caught:
        ClamdEngine(path, 50, lambda: next(times)).scan(given)
    assert caught.value.why is Unanswered.TIMED_OUT


def test_a_clamd_that_closes_without_a_word_is_asked_once_more(tmp_path: Path) -> None:
    """A clamd that restarts drops what it had accepted; its successor answers."""
    with daemon(tmp_path, hanging_up, replying(b"fd[10]: Bad FOUND\0")) as path:
        assert [d.threat for d in scan(path)] == ["Bad"]


def test_a_clamd_that_only_closes_is_named(tmp_path: Path) -> None:
    """Twice without a word is a failure with a sentence."""
    with daemon(tmp_path, hanging_up, hanging_up) as path:
        assert "without a word" in str(failure(path))


def test_the_reply_is_read_when_clamd_takes_nothing(tmp_path: Path) -> None:
    """A clamd that refuses says why and closes before the content is sent: the reason is read."""

    def refuse(connection: socket.socket) -> None:
        connection.sendall(b"Too many connections ERROR\0")
        connection.shutdown(socket.SHUT_RD)

    with daemon(tmp_path, refuse) as path:
        assert "Too many connections" in str(failure(path))


def test_a_reply_without_end_is_cut_off(tmp_path: Path) -> None:
    """A reply is bounded, whatever is behind the socket."""
    with daemon(tmp_path, replying(b"x" * (MAX_REPLY_BYTES + 1))) as path:
        assert f"more than {MAX_REPLY_BYTES} bytes" in str(failure(path))


@pytest.mark.parametrize(
    "reply", [b"OK\0", b"fd[10]:\0", b"fd[10]: FOUND\0", b"\0", b"UNKNOWN COMMAND\0", b"fd[10]: O"]
)
def test_a_reply_that_makes_no_sense_is_no_verdict(tmp_path: Path, reply: bytes) -> None:
    """Only the exact word OK is an answer without a finding."""
    with daemon(tmp_path, replying(reply), replying(reply)) as path:
        assert failure(path).why is Unanswered.ENGINE_ERROR


def test_the_version_is_what_clamd_says(tmp_path: Path) -> None:
    """The version names the engine and its signatures."""
    version = b"ClamAV 1.4.3/27700/Mon Jul 14 08:35:11 2025"
    with daemon(tmp_path, replying(version + b"\0")) as path:
        assert clamd_version(path, DEADLINE) == version.decode()


def test_something_else_on_the_socket_is_named(tmp_path: Path) -> None:
    """A socket of another service is not taken for clamd's."""
    with (
        daemon(tmp_path, replying(b"-ERR unknown command\r\n\0")) as path,
        pytest.raises(EngineFailure) as caught,
    ):
        clamd_version(path, DEADLINE)
    assert "give the socket of a clamd" in str(caught.value)


def test_asking_for_the_version_takes_bounded_time(tmp_path: Path) -> None:
    """A silent clamd does not hold up whoever polls its version."""
    with daemon(tmp_path, silent) as path, pytest.raises(EngineFailure) as caught:
        clamd_version(path, 0.2)
    assert caught.value.why is Unanswered.TIMED_OUT


def test_the_engine_does_its_own_unpacking() -> None:
    """clamd is given whole files; its version is asked for elsewhere."""
    engine = ClamdEngine(Path("/run/clamav/clamd.ctl"), 1)
    assert (engine.name, engine.unpacks, engine.version) == ("clamd", True, "")


LARGE = b"evil" + bytes(2 << 20)


async def said_by_a_real_one(directory: Path, data: bytes, *lines: str) -> list[Detection]:
    """What the engine says of `data` with a real clamd that knows LARGE and is configured by `lines`."""
    async with Clamd(directory, {"Own.Large": LARGE}) as clamd:
        with (directory / "clamd.conf").open("a") as config:
            config.writelines(f"{line}\n" for line in lines)
        await clamd.start()
        with content(data) as given:
            return await asyncio.to_thread(ClamdEngine(clamd.socket, DEADLINE).scan, given)


@pytest.mark.parametrize(
    ("data", "limit"),
    [
        (LARGE, "MaxFileSize 1M"),
        (LARGE, "MaxScanSize 1M"),
        (archives.zipped({"large": LARGE}), "MaxScanSize 1M"),
    ],
    ids=["file", "scan", "scan of a zip"],
)
async def test_a_clamd_that_tells_its_limits_is_believed(tmp_path: Path, data: bytes, limit: str) -> None:
    """With AlertExceedsMax a content above clamd's own limits is too large, and not taken for looked at."""
    with pytest.raises(EngineFailure, match="clamd's own limits") as caught:
        await said_by_a_real_one(tmp_path, data, limit, "AlertExceedsMax yes")
    assert caught.value.why is Unanswered.TOO_LARGE


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (LARGE, ["MaxFileSize 1M"]),
        (archives.zipped({"large": LARGE}), ["MaxFileSize 1M", "AlertExceedsMax yes"]),
    ],
    ids=["file", "member"],
)
async def test_a_clamd_that_keeps_its_limits_to_itself_is_not_noticed(
    tmp_path: Path, data: bytes, lines: list[str]
) -> None:
    """What docs/operations.md warns of: clamd says OK to what it has not looked at; if not, mend it there."""
    assert await said_by_a_real_one(tmp_path, data, *lines) == []


async def test_a_clamd_whose_limits_suffice_finds_what_is_large(tmp_path: Path) -> None:
    """AlertExceedsMax alone makes nothing too large."""
    found = await said_by_a_real_one(tmp_path, LARGE, "AlertExceedsMax yes")
    assert [detection.threat for detection in found] == ["Own.Large.UNOFFICIAL"]
