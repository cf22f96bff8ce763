"""`svm-host serve`: its parts run side by side until it is told to stop.

A part is made from `Serving`, and its `run` goes on until it is cancelled. What fails in it that is no fault
of this program it handles itself: a host or an SVM that is gone comes back. To add one: a class, and a line
in `parts.PARTS`.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import structlog

from appliance.hypervisor.changes import Changes
from appliance.hypervisor.settings import HostSettings
from appliance.hypervisor.svm_line import SvmLine
from appliance.hypervisor.virt.line import HostLine

AGAIN_SECONDS = 5.0

log = structlog.get_logger("svm-host")


_THREADS = 64  # for what blocks: a host that does not answer holds up nobody else


@dataclass(frozen=True)
class Serving:
    """What every part is given. hosts: by URI, each to be asked for what `virt` knows."""

    settings: HostSettings
    hosts: Mapping[str, HostLine]
    changes: Changes
    svm: SvmLine


class Part(Protocol):
    """Something that `serve` does."""

    async def run(self) -> None:
        """Do it until it is cancelled."""


Makers = Sequence[Callable[[Serving], Part]]


async def serve(
    settings: HostSettings,
    stopped: asyncio.Event,
    ready: Callable[[], None],
    parts: Makers,
) -> None:
    """Run the parts until the event is set. ready: called when they have begun."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "asking"))
    serving = Serving(
        settings, {uri: HostLine(uri) for uri in settings.libvirt.uri}, Changes(), SvmLine(settings.svm)
    )
    try:
        async with asyncio.TaskGroup() as group:
            work = [group.create_task(_kept_up(make(serving))) for make in parts]
            ready()
            await stopped.wait()
            for task in work:
                task.cancel()
    finally:
        serving.changes.close()
        serving.svm.close()


async def _kept_up(part: Part) -> None:
    """Run a part. A fault of this program in it ends neither the others nor, for long, itself."""
    while True:
        try:
            await part.run()
        except Exception as error:
            log.exception("part failed", part=type(part).__name__, why=f"{type(error).__name__}: {error}")
        await asyncio.sleep(AGAIN_SECONDS)
