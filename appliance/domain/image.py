"""Scans of disk images, which a host agent orders: what is scanned for whom, and what came of it."""

from dataclasses import dataclass

from appliance.domain.guest import Guest

MAX_IMAGE_BYTES = 512  # of the label of one
_PREFIX = "image-"  # begins the name under which one has its turn among guests, and that of no guest


@dataclass(frozen=True, slots=True)
class ImageScan:
    """label: what is scanned, for people. machine: the UUID of the machine whose disk it is, "" for none's.

    tenant: for whose guests, "" for everybody's. actor: who scans it.
    """

    label: str
    machine: str
    tenant: str
    actor: str


@dataclass(frozen=True, slots=True)
class ImageCounts:
    """What came of it, by the host agent's word. sent: contents that the SVM asked for."""

    files: int = 0
    bytes: int = 0
    malicious: int = 0
    suspicious: int = 0
    unanswered: int = 0
    sent: int = 0

    def __str__(self) -> str:
        told = [
            f"{self.files:,} files",
            f"{self.malicious:,} malicious",
            f"{self.suspicious:,} suspicious",
            f"{self.unanswered:,} without a verdict",
            f"{self.sent:,} sent",
        ]
        return ", ".join(told)


def asker_of(session: str, scope: int, tenant: str) -> Guest:
    """The image as one that asks: it has the bounds and the turns of a guest."""
    return Guest(_PREFIX + session, scope, tenant)


def is_image(guest_id: str) -> bool:
    """Whether who asks is an image."""
    return guest_id.startswith(_PREFIX)
