"""What a clamd answers that is none, or is broken: over a real socket, in pieces."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.domain.verdict import MAX_THREAT_BYTES, Detection
from appliance.scanning.engines.clamd import MAX_VERSION_BYTES, ClamdEngine, clamd_version
from appliance.scanning.engines.content import Content
from appliance.scanning.engines.engine import EngineFailure
from tests.fuzz.mutation import mutated
from tests.support.properties import fuzzing
from tests.support.scanning import content

SOUND = [
    b"fd[10]: OK\0",
    b"fd[10]: Eicar-Test-Signature FOUND\0",
    b"fd[10]: PUA.Win.Tool FOUND\0",
    b"fd[10]: Heuristics.Limits.Exceeded.MaxFileSize FOUND\0",
    b"INSTREAM size limit exceeded. ERROR\0",
    b"ClamAV 1.4.3/27700/Mon Jul 14 08:35:11 2025\0",
    b"COMMAND READ TIMED OUT\n",
    b"x" * 5000,
]
REPLIES = st.lists(mutated(st.sampled_from(SOUND), [b": ", b" FOUND", b"\0", b"\xff", b"\n"]), max_size=3)


class FalseClamd:
    """Answers each connection with the pieces that it is to say, and hangs up."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pieces: list[bytes] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection, suppress(OSError):
                if not connection.recv(64, socket.MSG_PEEK):
                    return  # a connection that says nothing is the test's, to end this
                for piece in self.pieces:
                    connection.sendall(piece)

    def close(self) -> None:
        """End it."""
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(str(self.path))
        self._thread.join()
        self._listener.close()


@contextmanager
def false_clamd(directory: Path) -> Iterator[FalseClamd]:
    """One that runs."""
    clamd = FalseClamd(directory / "clamd.sock")
    try:
        yield clamd
    finally:
        clamd.close()


@pytest.mark.hypothesis
def test_whatever_clamd_says_is_a_detection_nothing_or_a_failure(tmp_path: Path) -> None:
    """EngineFailure and nothing else; names and versions are bounded and can be printed."""
    with false_clamd(tmp_path) as clamd, content(b"some content") as (fd, label):
        engine = ClamdEngine(clamd.path, 10)

        @fuzzing
        @given(REPLIES)
        def hear(pieces: list[bytes]) -> None:
            clamd.pieces = pieces
            with suppress(EngineFailure):
                for found in engine.scan(Content.of_descriptor(fd, label)):
                    assert isinstance(found, Detection)
                    assert found.threat.isprintable()
                    assert 0 < len(found.threat.encode()) <= MAX_THREAT_BYTES
            with suppress(EngineFailure):
                version = clamd_version(clamd.path, 10)
                assert version.isprintable()
                assert len(version.encode()) <= MAX_VERSION_BYTES

        hear()
