"""/metrics in the Prometheus text format, read from the SVM's figures at the time of each request.

A small HTTP server on the SVM's own loop, so that figures are read between two steps and not
during one. It knows GET /metrics and nothing else, bounds what it reads and how long it waits, and
is meant for a loopback or a management address: whoever reaches it can read it.
"""

import asyncio
from collections.abc import Callable, Iterable
from itertools import islice
from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from appliance.console.figures import FIGURES, Figure

MAX_REQUEST_BYTES = 8192
REQUEST_SECONDS = 5.0
MAX_CONNECTIONS = 16

MOST_TENANTS = 256  # that have figures of their own

Figures = Callable[[], dict[str, float]]
FiguresByTenant = Callable[[], dict[str, dict[str, float]]]

_UNKNOWN = Figure("gauge", "A figure that the table of figures does not have")


class MetricsAddressTaken(Exception):
    """The address of the configuration cannot be listened on."""


class _FiguresCollector(Collector):
    """Turns figures into metric families."""

    def __init__(self, figures: Figures, version: str, by_tenant: FiguresByTenant) -> None:
        self._figures = figures
        self._version = version
        self._by_tenant = by_tenant

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance: the registry then asks for no figures before the first scrape."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Read the figures once, and yield one family for each name."""
        yield InfoMetricFamily("kvmla_svm", "The running SVM", value={"version": self._version})
        for name, value in self._figures().items():
            figure = FIGURES.get(name, _UNKNOWN)
            yield _kind_of(figure)(f"kvmla_{name}", figure.help, value)
        yield from self._tenants()

    def _tenants(self) -> Iterable[Metric]:
        """Yield one family for each name that tenants have a figure of, with a sample for each tenant."""
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for tenant, figures in islice(self._by_tenant().items(), MOST_TENANTS):
            for name, value in figures.items():
                if name not in families:
                    figure = FIGURES.get(name, _UNKNOWN)
                    help_, labels = f"{figure.help}, of one tenant", ("tenant",)
                    families[name] = _kind_of(figure)(f"kvmla_tenant_{name}", help_, labels=labels)
                families[name].add_metric((tenant,), value)
        yield from families.values()


class MetricsServer:
    """Serves the figures, and the process's memory and CPU time, for the length of an `async with`."""

    def __init__(
        self, address: str, figures: Figures, version: str = "unknown", by_tenant: FiguresByTenant = dict
    ) -> None:
        """address: HOST:PORT as in the configuration, "127.0.0.1:9470" or "[::1]:9470".

        by_tenant: figures by tenant and name.
        """
        host, _, port = address.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._registry = CollectorRegistry()
        self._registry.register(_FiguresCollector(figures, version, by_tenant))
        ProcessCollector(registry=self._registry)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()

    @property
    def port(self) -> int:
        """The port that is listened on; tells which one where the address said 0."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aenter__(self) -> Self:
        """Listen, or raise MetricsAddressTaken."""
        try:
            self._server = await asyncio.start_server(
                self._serve, self._host, self._port, limit=MAX_REQUEST_BYTES
            )
        except OSError as error:
            raise MetricsAddressTaken(
                f"/metrics cannot listen on {self._host}:{self._port}: {error.strerror or error}; "
                "set another server.metrics"
            ) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Listen no more and cut what is open."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._connections):
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and close."""
        if len(self._connections) >= MAX_CONNECTIONS:
            writer.close()
            return
        self._connections.add(writer)
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                request = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(request))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a client that sends no request in time, or goes away, gets no answer
        finally:
            self._connections.discard(writer)
            writer.close()

    def _answer(self, request: bytes) -> bytes:
        method, _, rest = request.split(b"\r\n", 1)[0].partition(b" ")
        path = rest.split(b" ")[0].split(b"?")[0]
        if path != b"/metrics":
            return _response("404 Not Found", "text/plain", b"The metrics are at /metrics.\n")
        if method != b"GET":
            return _response("405 Method Not Allowed", "text/plain", b"Only GET is served.\n")
        return _response("200 OK", CONTENT_TYPE_PLAIN_0_0_4, generate_latest(self._registry))


def _kind_of(figure: Figure) -> type[CounterMetricFamily | GaugeMetricFamily]:
    return CounterMetricFamily if figure.kind == "counter" else GaugeMetricFamily


def _response(status: str, kind: str, body: bytes) -> bytes:
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        "\r\n",
    ]
    return "\r\n".join(lines).encode() + body
