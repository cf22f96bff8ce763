"""Has the signatures read and packed by a worker process, since the operator's files are parsed there.

The bundle comes back in a memory file that this process made, and that is sealed before anybody
reads it.
"""

import asyncio
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.config import EngineSettings, ScanningSettings
from appliance.scanning.bundle import BundleError, Summary, read_summary
from appliance.scanning.confinement import Confinement
from appliance.scanning.sandbox import Sandbox, unusable
from appliance.scanning.worker_process import Launch, WorkerProcess, all_ended
from appliance.scanning.worker_wire import Misbehaved, Order, Refused, Role, decode_first

BUILD_SECONDS: Final = 600.0  # for hundreds of thousands of rules on a busy machine
_MIB: Final = 1 << 20
_LARGEST_CONTENT_BYTES: Final = 4096 * _MIB  # what limits.max_file_mib goes up to; contents are mapped
_RESERVED_BYTES: Final = 1024 * _MIB  # what WebAssembly reserves without using it, stacks, libraries
_END_SECONDS: Final = 10.0
_SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class BuildFailed(Exception):
    """There is no bundle. The message is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class Built:
    """A sealed bundle. fd: a memory file, the holder's to close. summary: what it says of itself."""

    fd: int
    summary: Summary


async def build(sandbox: Sandbox, scanning: ScanningSettings, engines: EngineSettings) -> Built:
    """Return a bundle of all signatures. Raises BuildFailed, OSError, SandboxUnavailable."""
    fd = os.memfd_create("signatures", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        readable = (*engines.yara.rules_dirs, *engines.hashlist.dirs)
        launch = Launch(sandbox, readable, order(Role.BUILD, sandbox, scanning, engines), fd)
        await _run(launch)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)  # the builder is gone: nobody writes any more
        summary = read_summary(fd)
        # Read-only, because Linux before 6.7 refuses to share a sealed mapping through a writable one.
        return Built(os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC), summary)
    except (BundleError, OSError) as error:
        raise BuildFailed(f"the signatures could not be read: {error}") from error
    finally:
        os.close(fd)


def order(role: Role, sandbox: Sandbox, scanning: ScanningSettings, engines: EngineSettings) -> bytes:
    """Return the first message to a worker. Raises BuildFailed where the settings are too long for one."""
    memory = scanning.worker_memory_mib * _MIB
    confinement = Confinement(
        private_bytes=memory,
        # A builder has all signatures in memory, and a worker maps as much.
        address_bytes=2 * memory + _LARGEST_CONTENT_BYTES + _RESERVED_BYTES,
        file_bytes=memory,
        processes=64 if sandbox.walled else 0,  # outside, it would count all processes of this user
    )
    try:
        return Order(role, engines, scanning.unpack, confinement).encode()
    except ValueError as error:
        raise BuildFailed(str(error)) from error


def worker_launch(
    sandbox: Sandbox, scanning: ScanningSettings, engines: EngineSettings, bundle: int
) -> Launch:
    """Return how workers that scan with `bundle` are started; its descriptor goes over to the crew."""
    # The directory and not the socket: a clamd that restarts makes its socket anew.
    readable: tuple[Path, ...] = (engines.clamd.socket.parent,) if engines.clamd.enabled else ()
    return Launch(sandbox, readable, order(Role.SCAN, sandbox, scanning, engines), bundle)


async def _run(launch: Launch) -> None:
    """Return when a builder has done its order and is gone. Raises BuildFailed, SandboxUnavailable."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def heard(message: memoryview) -> None:
        first = decode_first(message)
        if done.done():
            raise Misbehaved("spoke again")
        if isinstance(first, Refused):
            done.set_exception(BuildFailed(f"the signatures could not be read: {first.why}"))
        else:
            done.set_result(None)

    def lost(words: str) -> None:
        if not done.done():
            broken = words.startswith("bwrap: ")
            done.set_exception(unusable(words) if broken else BuildFailed(f"the builder died: {words}"))

    process = WorkerProcess(launch, heard, lost)
    try:
        async with asyncio.timeout(BUILD_SECONDS):
            await done
    except TimeoutError:
        raise BuildFailed(f"reading the signatures took over {BUILD_SECONDS:g} s: load fewer") from None
    finally:
        process.kill()
        await all_ended([process], _END_SECONDS)
