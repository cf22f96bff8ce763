"""What is said on an image's stream beside questions."""

import asyncio
from pathlib import Path

import pytest
from lightagent.v1 import images_pb2

from appliance.domain.event import Event, EventKind
from appliance.rpc.admin_line import AdminError
from tests.support.contents import EICAR
from tests.support.images import Contents, ImageSvm, image_svm
from tests.support.svm import DEADLINE

MACHINE = "6695eb01-f6a4-8304-79aa-97f2502e193f"


def noted(svm: ImageSvm) -> asyncio.Queue[Event]:
    """Where events come from now on."""
    events: asyncio.Queue[Event] = asyncio.Queue()
    svm.parts.witness.log.on_kept.append(lambda _number, event: events.put_nowait(event))
    return events


async def until(events: asyncio.Queue[Event], number: int) -> list[Event]:
    """So many of them."""
    async with asyncio.timeout(DEADLINE):
        return [await events.get() for _ in range(number)]


async def test_what_the_svm_knows_as_a_detection_becomes_an_event(tmp_path: Path) -> None:
    """With the path; what it does not know as one does not, whatever the host agent says."""
    contents = Contents([EICAR, b"harmless"])
    async with image_svm(tmp_path) as svm:
        events = noted(svm)
        async with svm.client(machine=MACHINE) as client:
            await client.check(contents.digests, contents)
            for digest in contents.digests:
                await client.find(digest, b"disk: /x\xff")
            await client.done(images_pb2.ImageSummary(files=2, malicious=1, complete=True))
        found, scanned = await until(events, 2)
        assert (found.kind, found.guest, found.sha256) == (
            EventKind.IMAGE_DETECTION,
            MACHINE,
            contents.digests[0],
        )
        assert found.text.startswith("malicious, in disk: disk: /x")
        assert (scanned.kind, scanned.tenant, scanned.count) == (EventKind.IMAGE_SCANNED, "default", 1)
        assert "all of it; 2 files, 1 malicious" in scanned.text


async def test_a_stream_that_ends_without_a_summary_is_noted_as_broken_off(tmp_path: Path) -> None:
    """As when the host agent is killed."""
    async with image_svm(tmp_path) as svm:
        events = noted(svm)
        async with svm.client():
            pass
        (event,) = await until(events, 1)
        assert "not all of it (broken off)" in event.text


async def test_what_does_not_belong_there_ends_the_stream(tmp_path: Path) -> None:
    """With a sentence."""
    async with image_svm(tmp_path) as svm, svm.client() as client:
        await client.find(b"short", b"")
        with pytest.raises(AdminError, match="a find of 5 and 0 bytes"):
            await client.check([bytes(32)], lambda _index: None)
