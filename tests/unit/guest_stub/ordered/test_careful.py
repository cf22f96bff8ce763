"""Tests of what an ordered scan keeps."""

from guest_stub.found import FoundFile
from guest_stub.looking import Looked
from guest_stub.ordered.careful import Careful
from tests.support.on_access_parts import DIGEST, NOTHING, Keeping


class Store(Keeping):
    """That can be told to commit."""

    flushed = 0

    def flush(self) -> None:
        """Count."""
        self.flushed += 1


def looked(sha256: bytes) -> Looked:
    """A file of a content."""
    return Looked.known(FoundFile(b"key", b"stamp", "/d", "f", 1), sha256)


def test_a_verdict_that_is_being_revoked_is_not_kept() -> None:
    """Others are, and every digest."""
    store = Store()
    careful = Careful(store, lambda sha256: sha256 == DIGEST)
    other = looked(bytes(32))
    careful.keep([looked(DIGEST), other], NOTHING, 0.0)
    careful.keep_digests([looked(DIGEST)])
    careful.flush()
    assert store.verdicts == [(other, NOTHING)]
    assert [file.sha256 for file in store.digests] == [DIGEST]
    assert store.flushed == 1
