"""Places of administrators, over real gRPC: who holds all he can keeps nobody out."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from lightagent.v1 import admin_pb2, events_pb2, scans_pb2

from appliance.domain.caller import Caller, Role
from appliance.rpc.places import Places
from tests.support.ksn import misbehaving_ksn
from tests.support.misbehaving_ksn import Connection
from tests.support.svm import until
from tests.support.tenants import Administrator, Tenancy, tenancy

READERS = [
    ("events", "EventsAdministration/ListEvents", events_pb2.ListEventsRequest),
    ("scans", "ScansAdministration/ListScans", scans_pb2.ListScansRequest),
]


@asynccontextmanager
async def holding(admins: Sequence[Administrator], method: str, request: Any) -> AsyncIterator[None]:
    """Each has a call open that goes on until the end."""
    tasks = [asyncio.get_running_loop().create_task(admin.call(method, request)) for admin in admins]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def tenants_admins(here: Tenancy, stack: AsyncExitStack, *tenants: str) -> list[Administrator]:
    """One of each."""
    admins = [here.administrator(Role.TENANT_ADMIN, tenant) for tenant in tenants]
    return [await stack.enter_async_context(admin) for admin in admins]


async def of_none(here: Tenancy, stack: AsyncExitStack, role: Role, name: str) -> Administrator:
    """A host agent, an auditor or a provider of that name."""
    admin = await stack.enter_async_context(here.administrator(role, name))
    here.badges.callers[f"{role}-{name}"] = Caller(name, role)
    return admin


@pytest.mark.parametrize(("kind", "method", "request_"), READERS)
async def test_those_who_hold_all_readers_places_keep_nobody_else_from_reading(
    tmp_path: Path, kind: str, method: str, request_: Any
) -> None:
    """A tenant more, host agents whose isolation follows events, an auditor and the provider are answered."""
    async with tenancy(tmp_path) as here, AsyncExitStack() as stack:
        places: Places = getattr(here.ksn.svm.parts.turns, kind)
        greedy = await tenants_admins(here, stack, "a", "b")
        greedy.append(await of_none(here, stack, Role.HOST_AGENT, "greedy"))
        overs, follow = here.ksn.svm.parts.sessions.overs, request_(follow=True)
        setting = {"events": "event_readers", "scans": "scan_readers"}[kind]
        async with holding(greedy * 5, method, follow):
            await until(lambda: places.taken == 12, "two tenants and a host agent have all that they may")
            await until(lambda: overs[f"tenant_over_{setting}"] == 3, "a fifth of each was refused")
            late = await tenants_admins(here, stack, "d", "e", "f")
            agents = [await of_none(here, stack, Role.HOST_AGENT, f"h{number}") for number in range(3)]
            auditor = await of_none(here, stack, Role.AUDITOR, "au")
            provider = await of_none(here, stack, Role.PROVIDER, "p")
            everybody = [*late, *agents, auditor, provider]
            async with holding(everybody, method, follow):
                await until(lambda: places.taken == 20, "each of them follows beside the others")
                assert overs[f"guest_over_{setting}"] == 0
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await late[0].call(method, request_())
                assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert overs[f"guest_over_{setting}"] == 1
        await until(lambda: places.taken == 0, "all have gone")
        await late[0].call(method, request_())


async def test_tenants_whose_commands_wait_for_a_slow_service_keep_no_other_tenant_out(
    tmp_path: Path,
) -> None:
    """Nor those of none: each that has nothing under way is answered."""

    async def silent(connection: Connection) -> None:
        await connection.ended.wait()

    async with (
        misbehaving_ksn(silent) as service,
        tenancy(tmp_path, service, longest_seconds=60.0) as here,
        AsyncExitStack() as stack,
    ):
        turns = here.ksn.svm.parts.turns
        greedy = await tenants_admins(here, stack, "acme", "other")
        request = admin_pb2.LookUpRequest(sha256=b"d" * 32)
        async with holding(greedy * 4, "KsnAdministration/LookUp", request):
            await until(lambda: turns.places.taken == 8, "two tenants have all places of tenants")
            late = await tenants_admins(here, stack, "third", "fourth")
            agent = await of_none(here, stack, Role.HOST_AGENT, "h")
            provider = await of_none(here, stack, Role.PROVIDER, "p")
            for admin in (*late, agent, provider):
                await admin.call("Administration/GetStatus", admin_pb2.GetStatusRequest())
            assert here.ksn.svm.parts.sessions.overs["guest_over_admin_calls"] == 0
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await greedy[0].call("Administration/GetStatus", admin_pb2.GetStatusRequest())
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
