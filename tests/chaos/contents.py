"""What guests hold, and the truth about it: a verdict that is not this one was not earned."""

import hashlib
import io
import random
import zipfile
from dataclasses import dataclass
from enum import StrEnum

from lightagent.v1 import verdict_pb2

from tests.support.contents import EICAR

MALICIOUS, CLEAN = verdict_pb2.OUTCOME_MALICIOUS, verdict_pb2.OUTCOME_CLEAN
NOT_DETECTED, NEEDED = verdict_pb2.OUTCOME_NOT_DETECTED, verdict_pb2.OUTCOME_CONTENT_NEEDED
PENDING = verdict_pb2.OUTCOME_PENDING
VERDICTS = {MALICIOUS, CLEAN, NOT_DETECTED, verdict_pb2.OUTCOME_SUSPICIOUS}


class Kind(StrEnum):
    """What an engine says of it, and what KSN does."""

    PLAIN = "plain"  # nobody objects
    EICAR = "eicar"  # an engine finds it, alone or in an archive
    RED = "red"  # engines find nothing; KSN knows it as malicious


@dataclass(frozen=True)
class Content:
    """A file's bytes, its digest, and what is true of it."""

    data: bytes
    kind: Kind

    @property
    def digest(self) -> bytes:
        """Its identity."""
        return hashlib.sha256(self.data).digest()


def allowed(kind: Kind) -> set[int]:
    """The verdicts that may be told of such a content, where no administrator has overruled it."""
    if kind is Kind.EICAR:
        return {MALICIOUS}
    return {NOT_DETECTED} if kind is Kind.PLAIN else {MALICIOUS, NOT_DETECTED}


def new_content(source: random.Random) -> Content:
    """A content that nobody has seen."""
    kind = source.choices(list(Kind), (6, 2, 1))[0]
    filler = source.randbytes(16) + bytes(source.choice((0, 200, 5000, 300_000, 2_000_000)))
    if kind is not Kind.EICAR:
        return Content(filler, kind)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("readme", filler)
        file.writestr("test.com", EICAR)
    return Content(archive.getvalue(), kind)
