"""Wires the parts of an SVM together and runs it: the only place that knows every part."""

import asyncio
import os
import resource
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from appliance.config import Settings
from appliance.console.logs import Throttled
from appliance.console.metrics import MetricsServer
from appliance.control import Parts, SvmControl, tell_revoked
from appliance.domain.guest import Guest
from appliance.domain.verdict import Ageing, Answer
from appliance.doors import serve_administrators, serve_by_certificate, serve_guests
from appliance.events_assembly import assemble_events, assemble_exposure, assemble_witness
from appliance.identity_assembly import assemble_identity
from appliance.inventory_assembly import KnownGuests, assemble_inventory
from appliance.ksn.later import Later
from appliance.ksn.ledger import LedgerFailed
from appliance.ksn.lists import UrlLists
from appliance.ksn.statistics import Figures
from appliance.ksn.submitting import Scanned, Submitter
from appliance.ksn_assembly import KsnParts, assemble, assemble_web
from appliance.ksn_control import PolicyControl
from appliance.ksn_log import tell_of
from appliance.limits_assembly import assemble_sessions
from appliance.protection import Key, Protection
from appliance.reloading import reload_all, reload_lists
from appliance.rpc.admin_turns import Turns
from appliance.rpc.server import Server
from appliance.rpc.sessions import Sessions
from appliance.scanning.scanner import Scanner
from appliance.scanning.spool import SpoolFile
from appliance.scans_assembly import PROC, assemble_scans, run_scans
from appliance.sight import Sight
from appliance.state.store import StateStore
from appliance.state.tenant_names import TenantNames
from appliance.trouble import Trouble
from appliance.verdicts.single_flight import Flights
from appliance.verdicts.store import VerdictStore
from appliance.version import program_version
from appliance.witness import Witness

_EXPIRE_SECONDS = 0.25  # how often leases are looked at
_SWEEP_SECONDS = 1.0
_TICK_SECONDS = 5.0
_SWEEP_RECORDS, _SWEEP_TURNS = 250, 20  # looked at each time: a million in some three minutes
_DAY = 86400.0
_DESCRIPTORS = 65536

log = structlog.get_logger("svm")


async def serve(settings: Settings, ready: Callable[[], None] | None = None) -> None:
    """Run an SVM until SIGTERM or SIGINT. `ready` is called once guests can attach.

    Raises ScannerError, StateError, StoreError, SocketInUse or CannotListen, each with a sentence.
    """
    os.umask(0o077)
    _raise_descriptor_limit()
    directory = settings.server.state_dir
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    async with AsyncExitStack() as stack:
        parts = await build(settings, stack)
        control = SvmControl(parts, program_version(), settings.scanning.sandbox != "bubblewrap", time.time)
        stack.push_async_callback(control.finish)
        policies = PolicyControl(parts.ksn)
        policies.on_changed.append(parts.witness.policy_changed)
        admin = await serve_administrators(settings, parts, control, policies, stack)
        guests = await serve_guests(settings, parts, stack)
        others = await serve_by_certificate(settings, parts, control, policies, stack)
        if settings.server.metrics:
            await stack.enter_async_context(
                MetricsServer(
                    settings.server.metrics, control.figures, program_version(), control.figures_by_tenant
                )
            )
        throttled = Throttled(log)
        _tell_of_events(parts, throttled)
        stopped = _catch_signals(parts)
        parts.witness.started(program_version())
        log.info("serving", listen=settings.server.listen, generation=f"{parts.scanner.generation:016x}")
        if ready is not None:
            ready()
        async with chores(parts, settings, throttled):
            await stopped.wait()
        log.info("stopping")
        parts.witness.stopping()
        await _stop(parts, guests, (admin, *others), settings.server.stop_grace_seconds)
    log.info("stopped")


def _raise_descriptor_limit() -> None:
    """Contents in the spool and guests' connections take a descriptor each; 1,024 do not go far."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


async def build(settings: Settings, stack: AsyncExitStack, proc: Path = PROC) -> Parts:
    """Open the stores, load the past, start the engines; each is closed when the stack unwinds.

    proc: where the kernel tells of pressure.
    """
    directory, limits, cache = settings.server.state_dir, settings.limits, settings.cache
    state = StateStore.open(directory, time.time, settings.state.audit_entries)
    stack.callback(state.close)
    store = VerdictStore.open(directory, cache.map_mib << 20, time.time)
    stack.callback(store.close)
    if store.notice:
        log.warning("cache set aside", notice=store.notice)
    scanner = await Scanner.start(settings.scanning, settings.engines)
    stack.push_async_callback(scanner.close)
    sessions, spool = assemble_sessions(limits, scanner)
    flights = Flights(limits.upload_stall_seconds, limits.lease_seconds, time.monotonic)
    ageing = Ageing(cache.not_detected_ttl_days * _DAY, cache.commit_ms / 1000)
    protection = Protection(store, flights, scanner, time.time, ageing)
    protection.overrides.load(state.overrides())
    protection.on_changed.append(lambda _scope, digest, concerns: sessions.tell_revoked(digest, concerns))
    ksn = assemble(settings.ksn, state.environment, protection, store.page, partial(_done, protection))
    _wire(ksn, protection, sessions, stack)
    web = assemble_web(ksn, UrlLists(settings.web.lists_dirs), settings.cache.valid_for_seconds)
    await reload_lists(web.lists)
    sight = Sight(TenantNames(state.environment), store, protection)
    witness = _open_witness(settings, sight, stack)
    # For as long as a guest may hold the file: its answer has run out long before, and it has to look for it.
    await witness.restore(protection, max(cache.valid_for_seconds, settings.exposure.keep_days * _DAY))
    witness.watch(sessions, protection, scanner)
    scans = assemble_scans(settings, state.environment, scanner, witness, proc)
    stack.push_async_callback(scans.orders.finish)
    identity = await assemble_identity(settings, state.environment, witness, sight.tenants)
    if identity is not None:
        stack.push_async_callback(identity.registry.finish)
    turns = Turns(limits, sessions.over)
    inventory = assemble_inventory(
        settings, state.environment, KnownGuests(sessions, identity), scans.orders, witness
    )
    return Parts(
        store,
        state,
        scanner,
        spool,
        protection,
        sessions,
        ksn,
        web,
        witness,
        scans,
        sight,
        inventory,
        identity,
        turns,
    )


def _open_witness(settings: Settings, sight: Sight, stack: AsyncExitStack) -> Witness:
    """Open what is told of guests and who holds what; each is closed when the stack unwinds."""
    events = assemble_events(settings)
    stack.push_async_callback(events.close)
    exposure = assemble_exposure(settings)
    stack.push_async_callback(exposure.close)
    if events.store.notice:
        log.warning("events begin anew", notice=events.store.notice)
    if exposure.notice:
        log.warning("exposure set aside", notice=exposure.notice)
    return assemble_witness(settings, events, exposure, sight.tenants)


def _wire(ksn: KsnParts, protection: Protection, sessions: Sessions, stack: AsyncExitStack) -> None:
    """Have what KSN has of parts hear of scans, and be heard; each is closed when the stack unwinds."""
    if ksn.network is not None:
        stack.push_async_callback(ksn.network.close)
        protection.reputation = ksn.network
        ksn.network.on_forget += [sessions.tell_generation, _tell_missed]
    if ksn.submitter is not None:
        stack.push_async_callback(ksn.submitter.close)  # before the network is
        protection.on_scanned.append(partial(_offer, ksn.submitter))
    if ksn.later is not None:
        protection.on_scanned.append(partial(_note, ksn.later))


def _tell_missed() -> None:
    log.warning(
        "changes of KSN were missed",
        done="what KSN said before counts no more; what engines found nothing in is asked about anew",
    )


def _done(protection: Protection, scope: int) -> Figures:
    """What a tenant's guests asked about, and in how much of that they were told of a threat, so far."""
    counts = protection.counts_by_scope[scope]
    return Figures(counts["digests"], counts["detected"])


def _offer(submitter: Submitter, key: Key, content: SpoolFile, answer: Answer) -> None:
    """Have a content whose scan is over handed over, if it is wanted."""
    guest = Guest(content.guest_id, key[0])
    submitter.offer(Scanned(guest, key[1], content.size, content.fd, answer))


def _note(later: Later, key: Key, content: SpoolFile, answer: Answer) -> None:
    """Have KSN asked later about a content whose scan is over, if it gave no answer before."""
    later.scanned(Guest(content.guest_id, key[0]), key[1], answer)


def _tell_of_events(parts: Parts, throttled: Throttled) -> None:
    """Have guests and the operator told of what happens."""

    def moved(generation: int) -> None:
        log.info("generation", generation=f"{generation:016x}")
        parts.sessions.tell_generation()

    parts.scanner.on_generation.append(moved)

    def breach(guest: Guest, kind: str, sentence: str) -> None:
        if kind == "slowed":
            throttled.warning("guest slowed", guest=guest.id, why=sentence)
        elif kind == "full":
            throttled.warning("door full", guest=guest.id, why=sentence)
        else:
            throttled.warning("guest refused", guest=guest.id, kind=kind, why=sentence)

    parts.sessions.on_breach.append(breach)
    tell_of(parts.ksn, log)


def _catch_signals(parts: Parts) -> asyncio.Event:
    """SIGTERM and SIGINT set the event; SIGHUP has read anew what an operator may have changed."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    reloads: set[asyncio.Task[str]] = set()

    def hang_up() -> None:
        task = loop.create_task(reload_all(parts.scanner, parts.web.lists, parts.ksn.key))
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    loop.add_signal_handler(signal.SIGINT, stopped.set)
    loop.add_signal_handler(signal.SIGHUP, hang_up)
    return stopped


def _identity_problem(parts: Parts) -> str:
    return "" if parts.identity is None else parts.identity.registry.problem


@asynccontextmanager
async def chores(parts: Parts, settings: Settings, throttled: Throttled) -> AsyncIterator[None]:
    """Do the recurrent work while the body runs: leases, sweeping, the way to the disk, counts of the log."""

    troubles = (
        Trouble(lambda: parts.store.problem, "cache problem", "cache is written again"),
        Trouble(lambda: parts.witness.log.problem, "events problem", "events are written again"),
        Trouble(lambda: _identity_problem(parts), "identity problem", "identities are written again"),
        Trouble(lambda: parts.inventory.problem, "inventory problem", "the inventory is written again"),
    )

    async def sync() -> None:
        parts.store.flush()
        await asyncio.to_thread(parts.store.sync)

    async def sweep() -> None:
        for _ in range(_SWEEP_TURNS):  # guests are answered meanwhile
            parts.store.sweep(parts.scanner.generation, _SWEEP_RECORDS)
            await asyncio.sleep(0)

    async def end_overrides() -> None:
        for scope, digest in parts.protection.overrides.end():
            tell_revoked(parts.sessions, digest, scope)
            parts.witness.override_ended(scope, digest)

    async def tick() -> None:
        throttled.tick()
        for trouble in troubles:
            trouble.tell()
        parts.state.environment.forget_dead_readers()

    async def expire() -> None:
        parts.protection.flights.expire()

    reporting = settings.ksn.statistics.interval_minutes * 60
    async with asyncio.TaskGroup() as group:
        work = [
            group.create_task(_every(_EXPIRE_SECONDS, expire)),
            group.create_task(_every(_SWEEP_SECONDS, sweep)),
            group.create_task(_every(_SWEEP_SECONDS, end_overrides)),
            group.create_task(_every(settings.cache.sync_seconds, sync)),
            group.create_task(_every(_TICK_SECONDS, tick)),
            group.create_task(run_scans(parts.scans)),
            group.create_task(parts.inventory.run(parts.turns)),
            group.create_task(_every(_SWEEP_SECONDS, partial(_flush_ledger, parts.ksn))),
            *map(group.create_task, _beside(parts.ksn)),
            *([] if parts.identity is None else [group.create_task(parts.identity.run())]),
            group.create_task(parts.connections.run()),
            group.create_task(parts.witness.log.run()),
            group.create_task(parts.witness.run()),
            group.create_task(parts.witness.exposure.run()),
            group.create_task(_every(reporting, partial(_report, parts.ksn))),
        ]
        yield
        for task in work:
            task.cancel()


def _beside(ksn: KsnParts) -> list[Coroutine[Any, Any, None]]:
    """What is done for KSN beside answering guests; a fault of this program in it must not end the SVM."""
    parts = {
        "changes of KSN are followed no more": ksn.feed,
        "what KSN changed unheard is not asked anew": ksn.relearning,
        "results of KSN are not asked for any more": ksn.results,
        "nothing is asked of KSN later any more": ksn.later,
    }
    return [_apart(sentence, part.run) for sentence, part in parts.items() if part is not None]


async def _apart(sentence: str, work: Callable[[], Awaitable[None]]) -> None:
    """Do something, and write a line where this program fails in it."""
    try:
        await work()
    except Exception as error:
        log.error("part of KSN failed", so=sentence, why=f"{type(error).__name__}: {error}")


async def _report(ksn: KsnParts) -> None:
    """Tell the service how much was done, where it takes that."""
    if ksn.statistics is not None:
        await _apart("usage statistics were not sent", ksn.statistics.report)


async def _flush_ledger(ksn: KsnParts) -> None:
    if ksn.network is not None:
        with suppress(LedgerFailed):  # said in the status, and tried again
            await ksn.network.ledger.flush()


async def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        await work()


async def _stop(parts: Parts, guests: Server, others: Sequence[Server], grace: float) -> None:
    """Answer what was accepted, within `grace` seconds, then close."""
    for server in (guests, *others):
        await server.retire()
    parts.sessions.stop()
    try:
        async with asyncio.timeout(grace):
            await parts.protection.finish_scans()
            await guests.stop(grace)
    except TimeoutError:
        log.warning("cut off what was still under way", seconds=grace)
    parts.protection.commit()
    parts.store.sync()
