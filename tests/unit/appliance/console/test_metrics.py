"""/metrics over real HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from prometheus_client.parser import text_string_to_metric_families

from appliance.console.figures import FIGURES
from appliance.console.metrics import MAX_CONNECTIONS, MOST_TENANTS, MetricsAddressTaken, MetricsServer

GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
DEADLINE = 30.0


@asynccontextmanager
async def serving(figures: dict[str, float]) -> AsyncIterator[MetricsServer]:
    """A server on a free port of loopback."""
    async with MetricsServer("127.0.0.1:0", lambda: figures, "1.2.3") as server:
        yield server


async def exchange(server: MetricsServer, request: bytes) -> tuple[str, str]:
    """Send a request; the reply's first line and body."""
    async with asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request)
        reply = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
    head, _, body = reply.partition("\r\n\r\n")
    return head.split("\r\n")[0], body


async def test_figures_are_read_at_the_time_of_the_request() -> None:
    """Counters and gauges come out by their kind, with the values of now."""
    figures = {"guests_attached": 2.0, "protection_digests": 5.0}
    async with serving(figures) as server:
        await exchange(server, GET)
        figures["guests_attached"] = 3.0
        status, body = await exchange(server, GET)
    assert status == "HTTP/1.1 200 OK"
    families = {family.name: family for family in text_string_to_metric_families(body)}
    guests = families["kvmla_guests_attached"]
    assert (guests.type, guests.samples[0].value) == ("gauge", 3.0)
    assert guests.documentation == FIGURES["guests_attached"].help
    digests = families["kvmla_protection_digests"]
    assert (digests.type, digests.samples[0].name) == ("counter", "kvmla_protection_digests_total")
    assert families["kvmla_svm_info"].samples[0].labels == {"version": "1.2.3"}
    assert families["process_resident_memory_bytes"].samples[0].value > 0


async def test_what_is_counted_of_a_tenant_is_labelled_with_it() -> None:
    """Beside the figures of all; of so many tenants as there may be labels."""
    by_tenant = {f"t{number}": {"protection_digests": float(number)} for number in range(MOST_TENANTS + 5)}
    async with MetricsServer(
        "127.0.0.1:0", lambda: {"protection_digests": 9.0}, "1", lambda: by_tenant
    ) as server:
        _, body = await exchange(server, GET)
    families = {family.name: family for family in text_string_to_metric_families(body)}
    samples = families["kvmla_tenant_protection_digests"].samples
    assert [(each.labels, each.value) for each in samples[:2]] == [
        ({"tenant": "t0"}, 0.0),
        ({"tenant": "t1"}, 1.0),
    ]
    assert len(samples) == MOST_TENANTS
    assert families["kvmla_protection_digests"].samples[0].value == 9.0


async def test_a_figure_without_an_entry_in_the_table_is_still_shown() -> None:
    """Nothing that is counted is hidden because its meaning was forgotten."""
    async with serving({"new_thing": 1.0}) as server:
        _, body = await exchange(server, GET)
    assert "kvmla_new_thing 1.0" in body


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET / HTTP/1.1", "HTTP/1.1 404 Not Found"),
        (b"GET /metrics?name=x HTTP/1.1", "HTTP/1.1 200 OK"),
        (b"POST /metrics HTTP/1.1", "HTTP/1.1 405 Method Not Allowed"),
        (b"\xff\x00", "HTTP/1.1 404 Not Found"),
    ],
)
async def test_only_get_metrics_is_served(request_line: bytes, status: str) -> None:
    """Other paths and methods get a plain answer."""
    async with serving({}) as server:
        assert (await exchange(server, request_line + b"\r\n\r\n"))[0] == status


@pytest.mark.parametrize("request_bytes", [b"GET /" + b"a" * 100_000, b""])
async def test_a_request_that_never_ends_is_cut_off(request_bytes: bytes) -> None:
    """A head over 8 KiB, and a connection that closes without one, get no answer and do no harm."""
    async with serving({}) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request_bytes)
        if not request_bytes:
            writer.close()
        async with asyncio.timeout(DEADLINE):
            with suppress(ConnectionError):  # the server may close with bytes of ours unread
                assert await reader.read() == b""
        writer.close()
        assert (await exchange(server, GET))[0] == "HTTP/1.1 200 OK"


async def test_connections_are_bounded() -> None:
    """One over the limit is closed at once; when others end, the next is served."""
    async with serving({}) as server:
        idle = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(MAX_CONNECTIONS)]
        async with asyncio.timeout(DEADLINE):
            while (await exchange_or_nothing(server)) != "":
                pass
            assert await exchange_or_nothing(server) == ""
            for _, writer in idle:
                writer.close()
            while (reply := await exchange_or_nothing(server)) == "":
                pass
            assert reply == "HTTP/1.1 200 OK"


async def exchange_or_nothing(server: MetricsServer) -> str:
    """The first line of the reply; "" when the connection was closed instead."""
    try:
        return (await exchange(server, GET))[0]
    except ConnectionError:
        return ""


async def test_a_taken_address_is_told() -> None:
    """The operator reads which address, and which setting to change."""
    async with serving({}) as server:
        with pytest.raises(MetricsAddressTaken, match=r"127\.0\.0\.1:\d+: .*in use.*server\.metrics"):
            async with MetricsServer(f"127.0.0.1:{server.port}", dict):
                pass
