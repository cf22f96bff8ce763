"""ImageAdministration of a small SVM in this process, as a host agent reaches it."""

import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from lightagent.v1 import images_pb2

from appliance.composition import build, chores
from appliance.config_limits import Limits
from appliance.console.logs import Throttled
from appliance.control import Parts, SvmControl
from appliance.doors import serve_administrators
from appliance.ksn_control import PolicyControl
from appliance.rpc.admin_line import SocketLine
from appliance.rpc.images_client import ImageClient, ImageContent
from tests.support.svm import settings_in


@dataclass
class ImageSvm:
    """The SVM. line: the way to it."""

    parts: Parts
    line: SocketLine

    def client(self, **begin: object) -> ImageClient:
        """A scan of an image that begins so."""
        return ImageClient(self.line, images_pb2.ImageScan(**{"image": "disk", **begin}))  # type: ignore[arg-type]


@asynccontextmanager
async def image_svm(directory: Path, limits: Limits = Limits()) -> AsyncIterator[ImageSvm]:  # noqa: B008
    """Run one."""
    settings = settings_in(directory, limits)
    settings.server.state_dir.mkdir(parents=True)
    async with AsyncExitStack() as stack:
        parts = await build(settings, stack)
        control = SvmControl(parts, "1", False, time.time)
        await serve_administrators(settings, parts, control, PolicyControl(parts.ksn), stack)
        await stack.enter_async_context(chores(parts, settings, Throttled(structlog.get_logger("svm"))))
        yield ImageSvm(parts, SocketLine(settings.server.admin))


@dataclass
class Contents:
    """Contents that may be sent, by index. sent: how often each was."""

    data: list[bytes]
    said: list[bytes] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)

    @property
    def digests(self) -> list[bytes]:
        """What is asked about."""
        return [hashlib.sha256(data).digest() for data in self.data]

    def __call__(self, index: int) -> ImageContent:
        """One of them."""
        data = self.said[index] if self.said else self.data[index]

        async def chunks() -> AsyncIterator[bytes]:
            self.sent.append(index)
            for start in range(0, len(data), 1000):
                yield data[start : start + 1000]

        return ImageContent(self.digests[index], len(data), b"name", chunks)
