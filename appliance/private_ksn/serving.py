"""Runs the service until it is told to stop: sockets, TLS, signals, /metrics, and the look for changes."""

import asyncio
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from appliance.private_ksn.keys import Keys, KeysError, load_keys
from appliance.private_ksn.service import Service
from appliance.private_ksn.settings import Settings, host_and_port
from appliance.private_ksn.store import Store

LOOK_SECONDS = 0.25
MAX_LINE_BYTES = 16 * 1024  # a URL of 2,000 letters, each escaped in three bytes of UTF-8, fits twice
_log = structlog.get_logger("private-ksn")


class CannotServe(Exception):
    """The service cannot start; the message says why and what to do."""


class _Figures(Collector):
    """What /metrics tells, read when it is asked for."""

    def __init__(self, service: Service, store: Store) -> None:
        self._service = service
        self._store = store

    def collect(self) -> "list[Metric]":
        answers = CounterMetricFamily(
            "private_ksn_answers", "Requests that were answered", labels=("call", "status")
        )
        for (call, status), times in self._service.counted.items():
            answers.add_metric((call, str(status)), times)
        keys = GaugeMetricFamily("private_ksn_feed_keys", "Digests and addresses of a feed", labels=("feed",))
        for name, feed in self._store.feeds().items():
            keys.add_metric((name,), feed.entries)
        last = GaugeMetricFamily(
            "private_ksn_sequence", "Number of the last change of a zone", self._store.sequence()
        )
        waiting = GaugeMetricFamily(
            "private_ksn_waiting", "Requests that wait for changes now", self._service.waiting
        )
        submitted = GaugeMetricFamily(
            "private_ksn_submitted_bytes", "Room that submitted files take", self._service.submitted_bytes
        )
        return [answers, keys, last, waiting, submitted]


def check(settings: Settings) -> None:
    """Raise CannotServe where keys or certificate cannot be used; for before a store is begun."""
    _keys(settings)
    _tls(settings)


@asynccontextmanager
async def served(
    settings: Settings, store: Store
) -> AsyncIterator[tuple[Service, Callable[[], None], list[int]]]:
    """The service, listening: itself, what reads keys and certificate anew, its ports. Raises CannotServe."""
    try:
        service = Service(store, _keys(settings), settings.limits, settings.server.data_dir)
    except OSError as error:
        raise CannotServe(str(error)) from error
    context = _tls(settings)
    runner = web.ServerRunner(
        # Cancelled with its connection: who hangs up gives back his place among those who wait.
        web.Server(service.handle, handler_cancellation=True, access_log=None, max_line_size=MAX_LINE_BYTES),
        handle_signals=False,
        shutdown_timeout=settings.server.stop_grace_seconds,
    )
    figures = web.AppRunner(_metrics(service, store), access_log=None)
    looking = asyncio.get_running_loop().create_task(_look(service))
    try:
        await _listen(runner, settings.server.listen, context)
        if settings.server.metrics:
            await _listen(figures, settings.server.metrics, None)
        ports = [address[1] for one in (runner, figures) for address in one.addresses]
        yield service, lambda: _reload(service, settings, context), ports
    finally:
        service.stop()
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking
        await runner.cleanup()
        await figures.cleanup()


async def serve(settings: Settings, store: Store) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reads keys and certificate anew. Raises CannotServe."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    async with served(settings, store) as (service, reload, ports):
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, reload)
        _log.info("serving", ports=ports, tls=bool(settings.server.certificate), keys=len(service.keys))
        await stop.wait()
        _log.info("stopping")
    _log.info("stopped")


async def _look(service: Service) -> None:
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        service.look_for_changes()


async def _listen(runner: web.BaseRunner, address: str, context: ssl.SSLContext | None) -> None:
    host, port = host_and_port(address)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=context).start()
    except OSError as error:
        raise CannotServe(
            f"cannot listen on {address}: {error.strerror or error}; set another address"
        ) from error


def _keys(settings: Settings) -> Keys:
    try:
        return load_keys(settings.server.keys_file)
    except KeysError as error:
        raise CannotServe(str(error)) from error


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if not settings.server.certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.server.certificate, settings.server.private_key)
    except (OSError, ssl.SSLError) as error:
        raise CannotServe(f"{settings.server.certificate} and its key cannot be used: {error}") from error
    return context


def _reload(service: Service, settings: Settings, context: ssl.SSLContext | None) -> None:
    """Take new keys and a new certificate; what cannot be read leaves what was there."""
    try:
        service.keys = load_keys(settings.server.keys_file)
        if context is not None:
            context.load_cert_chain(settings.server.certificate, settings.server.private_key)
    except (KeysError, OSError, ssl.SSLError) as error:
        _log.error("not reloaded", why=str(error))
        return
    _log.info("reloaded", keys=len(service.keys))


def _metrics(service: Service, store: Store) -> web.Application:
    registry = CollectorRegistry()
    registry.register(_Figures(service, store))
    ProcessCollector(registry=registry)

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
        )

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics)])
    return app
