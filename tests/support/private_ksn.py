"""A Private KSN within a test: a store in a directory, feeds in it, and its real server over real HTTP."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from appliance.feeds.lines import Bad
from appliance.private_ksn.importing import Imported, import_feed
from appliance.private_ksn.keys import new_key
from appliance.private_ksn.reputation import Reputation, Zone
from appliance.private_ksn.service import KEY_HEADER, Service
from appliance.private_ksn.serving import served
from appliance.private_ksn.settings import Limits, ServerSettings, Settings
from appliance.private_ksn.sources import Found
from appliance.private_ksn.store import Store
from appliance.private_ksn.subjects import parse_any

NOON = 1_900_000_000
KEY, LINE = new_key("svm-1")


def feed(store: Store, name: str, entries: dict[str, Zone]) -> Imported:
    """Let a feed have these subjects with these zones."""
    source: Iterable[Found | Bad] = [
        Found((parse_any(text).key,), Reputation(zone, threat=f"T.{name}")) for text, zone in entries.items()
    ]
    return import_feed(store, name, "plain", iter(source), NOON, lambda _entries: None)


@dataclass
class Asked:
    """An answer: its status, its body read as JSON, and its headers."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Served:
    """A serving Private KSN, and a client of it."""

    service: Service
    reload: Callable[[], None]
    ports: list[int]
    session: ClientSession
    scheme: str = "http"

    async def get(self, call: str, key: str = KEY, **query: str) -> Asked:
        """GET /api/v1/CALL."""
        return await self.ask("GET", call, query, key)

    async def ask(self, method: str, call: str, query: dict[str, str], key: str, data: Any = None) -> Asked:
        """Any request."""
        url = f"{self.scheme}://127.0.0.1:{self.ports[0]}/api/v1/{call}"
        async with self.session.request(
            method, url, params=query, headers={KEY_HEADER: key}, data=data
        ) as response:
            text = await response.text()
            return Asked(response.status, await response.json() if text else None, response.headers)


def settings(directory: Path, limits: Limits | None = None, **server: Any) -> Settings:
    """Settings with everything under the directory, any free ports, and one key."""
    (directory / "keys").write_text(LINE + "\n")
    place = ServerSettings(
        listen="127.0.0.1:0",
        metrics="127.0.0.1:0",
        data_dir=directory / "data",
        keys_file=directory / "keys",
        stop_grace_seconds=1.0,
    )
    return Settings(server=replace(place, **server), limits=limits or Limits())


@asynccontextmanager
async def serving(store: Store, chosen: Settings) -> AsyncIterator[Served]:
    """The real server on a free port, over plain HTTP."""
    async with served(chosen, store) as (service, reload, ports), ClientSession() as session:
        yield Served(service, reload, ports, session)
