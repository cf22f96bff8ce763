"""The one door to the engines: a descriptor and a label in, a ScanResult out.

It has the signatures built, keeps a crew of sandboxed workers on them, and says which generation
they are. New signatures get a crew of their own, which takes over when every worker of it is ready;
the old one finishes what it has. Nobody waits for that, and nobody's scan fails by it.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import fields
from typing import Any, Final

import xxhash

from appliance.config import EngineSettings, ScanningSettings
from appliance.domain.content import ContentLabel
from appliance.domain.generation import combine
from appliance.domain.guest import NOBODY, Owner
from appliance.scanning.builder import BuildFailed, Built, build, worker_launch
from appliance.scanning.clamd_watch import ClamdSeen, ClamdWatch, directory_identity
from appliance.scanning.company import Company
from appliance.scanning.crew import Crew, CrewFailed, CrewPlan
from appliance.scanning.engines import clamd
from appliance.scanning.pool import Pool
from appliance.scanning.result import EngineState, ScanResult, SignatureSource
from appliance.scanning.runtime import RuntimeIncomplete, find_runtime
from appliance.scanning.sandbox import Sandbox, SandboxUnavailable

_ENGINES: Final = tuple(field.name for field in fields(EngineSettings))
_CANNOT_BUILD: Final = (BuildFailed, CrewFailed, SandboxUnavailable, OSError)
_log = logging.getLogger(__name__)


class ScannerError(Exception):
    """Scanning cannot start. The message says why and what to do."""


class ReloadFailed(Exception):
    """New signatures could not be loaded; those before stay in use. The message says why."""


class Scanner:
    """Scans contents in sandboxed workers. Lives on one event loop.

    on_generation: called with the new number after each switch to another generation.
    """

    def __init__(
        self,
        scanning: ScanningSettings,
        engines: EngineSettings,
        sandbox: Sandbox,
        clock: Callable[[], float],
    ) -> None:
        """Start nothing yet; use `start`."""
        self.on_generation: list[Callable[[int], None]] = []
        self._scanning = scanning
        self._engines = engines
        self._sandbox = sandbox
        self._clock = clock
        self._pool = Pool(scanning, clock)
        self._built: Built | None = None
        self._watch = ClamdWatch(engines.clamd, self._on_clamd) if engines.clamd.enabled else None
        self._clamd_directory: tuple[int, int] | None = None  # as the workers see it
        self._switching = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._reloads = 0

    @classmethod
    async def start(
        cls,
        scanning: ScanningSettings,
        engines: EngineSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> "Scanner":
        """Return a scanner whose workers are ready. clock: seconds that only go forward.

        Raises ScannerError.
        """
        try:
            runtime = await asyncio.to_thread(find_runtime)
            sandbox = Sandbox.find(scanning.sandbox, runtime)
        except (RuntimeIncomplete, SandboxUnavailable) as error:
            raise ScannerError(str(error)) from error
        scanner = cls(scanning, engines, sandbox, clock)
        try:
            if scanner._watch is not None:
                await scanner._watch.start()
            await scanner._renew(rebuild=True)
        except _CANNOT_BUILD as error:
            await scanner.close()
            raise ScannerError(f"scanning cannot start: {error}") from error
        except BaseException:
            await scanner.close()
            raise
        if not scanner.filtered:
            _log.warning(
                "this kernel or machine has no filter of system calls: workers run without that wall"
            )
        return scanner

    @property
    def generation(self) -> int:
        """The fingerprint of the engines and signatures that scan now."""
        return self._pool.crew.generation

    @property
    def filtered(self) -> bool:
        """Whether the kernel filters the system calls of workers."""
        return self._pool.crew.filtered

    def scan(
        self,
        fd: int,
        label: ContentLabel,
        owner: Owner = NOBODY,
        wanted: Callable[[], bool] | None = None,
        urgent: bool = False,
    ) -> asyncio.Future[ScanResult]:
        """What the engines will say of the content in `fd`, which stays the caller's until then.

        fd: readable, and sealed or otherwise left alone. owner: whose turn it takes. wanted:
        asked when its turn has come, None where it always is. urgent: somebody's open waits for it, so it
        goes before what nobody's does. Never fails for a content: one that breaks its worker ends as
        ENGINE_ERROR, one that takes too long as TIMED_OUT, and one that a full queue has no place for, or
        that is not wanted any more, as OVERLOADED.
        """
        return self._pool.scan(fd, label, owner, wanted, urgent)

    def hurry(self, scan: asyncio.Future[ScanResult]) -> None:
        """Somebody's open waits for a scan by now, which was not urgent when it was asked for."""
        self._pool.hurry(scan)

    def beside(self, company: Company) -> None:
        """Have workers shared with regard to who else is here."""
        self._pool.company = company

    @property
    def urgent_queued(self) -> int:
        """Contents that no worker has yet though somebody's open waits for them."""
        return self._pool.urgent

    async def reload(self) -> None:
        """Read all signatures anew and return when they are in use. It goes on when the caller is cancelled.

        Raises ReloadFailed; then those before are in use still. A reload during a reload follows it.
        """
        task = self._own(self._reload())
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise ReloadFailed("the signatures stay as they are: the SVM stops") from None
            raise

    def sources(self) -> list[SignatureSource]:
        """The files of rules and hashes that are loaded, with what is wrong in them."""
        return list(self._built.summary.sources) if self._built is not None else []

    def states(self) -> list[EngineState]:
        """How each engine that is enabled is."""
        parts = self._built.summary.parts if self._built is not None else ()
        versions = {engine: version for engine, version, _ in parts}
        signatures: Counter[str] = Counter()
        for source in self.sources():
            signatures[source.engine] += source.signatures
        problem = self._pool.crew.problem
        states = [
            EngineState(name, versions.get(name, ""), not problem, problem, signatures[name])
            for name in _ENGINES
            if name != clamd.NAME and getattr(self._engines, name).enabled
        ]
        if self._watch is not None:
            problem = problem or self._watch.seen.problem
            states.append(EngineState(clamd.NAME, self._watch.seen.version, not problem, problem))
        return states

    def figures(self) -> dict[str, float]:
        """Counters since the start, and how things are now.

        scans: contents that engines have answered. engine_bytes: bytes of contents given to engines,
        each content once. scan_seconds: time that workers took, all together.
        """
        crew = self._pool.crew
        return {
            **self._pool.counts,
            "reloads": self._reloads,
            "queued": self._pool.queued,
            "queued_on_access": self._pool.urgent,
            "busy": self._pool.busy,
            "held_digests": self._pool.held,
            "workers": crew.plan.count,
            "workers_ready": crew.ready_members,
        }

    async def close(self) -> None:
        """End all workers; open scans end as OVERLOADED. Returns when no process is left."""
        if self._watch is not None:
            await self._watch.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._pool.close()
        self._keep(None)

    # -- signatures and generations --------------------------------------------------------------

    async def _reload(self) -> None:
        try:
            await self._renew(rebuild=True)
        except _CANNOT_BUILD as error:
            raise ReloadFailed(f"the signatures stay as they are: {error}") from error
        self._reloads += 1

    async def _renew(self, rebuild: bool) -> None:
        """Switch to a new crew, with new signatures or (not rebuild) with those that are in use."""
        async with self._switching:
            old = self._built
            built = old
            if built is None or rebuild:
                built = await build(self._sandbox, self._scanning, self._engines)
            directory = directory_identity(self._engines.clamd.socket.parent)
            try:
                crew = await self._start_crew(built)
            except BaseException:
                if built is not old:
                    os.close(built.fd)
                raise
            before = self._pool.crew.generation if old is not None else None
            self._keep(built)
            self._clamd_directory = directory
            crew.generation = self._generation()
            self._pool.use(crew)
            if before is not None and crew.generation != before:
                self._tell_generation()

    async def _start_crew(self, built: Built) -> Crew:
        """Return a crew that is ready, but not in use yet."""
        launch = worker_launch(self._sandbox, self._scanning, self._engines, os.dup(built.fd))
        count = self._scanning.workers or len(os.sched_getaffinity(0))
        crew = Crew(CrewPlan(launch, count, self._clock), self._pool)
        await crew.start()
        return crew

    def _keep(self, built: Built | None) -> None:
        """Hold on to the bundle in use, and let the one before go."""
        if self._built is not None and self._built is not built:
            os.close(self._built.fd)
        self._built = built

    def _generation(self) -> int:
        """The number of the bundle in use, and of clamd as it was last heard."""
        assert self._built is not None
        parts = list(self._built.summary.parts)
        if self._watch is not None:
            parts.append((clamd.NAME, self._watch.seen.version, 0))
        return combine(parts, xxhash.xxh3_64_intdigest)

    def _tell_generation(self) -> None:
        for told in self.on_generation:
            told(self.generation)

    def _on_clamd(self, seen: ClamdSeen) -> None:
        """Follow clamd: its signatures make a generation, and its socket may have moved out of sight."""
        if self._built is None:
            return
        generation = self._generation()
        if generation != self.generation:
            self._pool.crew.generation = generation
            self._tell_generation()
        moved = seen.directory not in (None, self._clamd_directory)
        if moved and self._sandbox.walled and not self._tasks:
            _log.info("the directory of clamd's socket is another one: workers are started anew to see it")
            self._own(self._follow_clamd())

    async def _follow_clamd(self) -> None:
        try:
            await self._renew(rebuild=False)
        except _CANNOT_BUILD as error:
            _log.warning("workers do not see clamd's new socket yet, the next poll tries again: %s", error)

    def _own(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` in a task that ends with the scanner."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._disown)
        return task

    def _disown(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        with contextlib.suppress(asyncio.CancelledError):
            task.exception()  # whoever asked for a reload has gone: its failure is not the loop's to report
