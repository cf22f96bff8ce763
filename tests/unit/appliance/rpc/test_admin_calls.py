"""What an administrator's calls have in common."""

import asyncio
from typing import Any, NoReturn

import grpc
import pytest

from appliance.changes import Changes
from appliance.config_limits import Limits, TenantLimits
from appliance.domain.caller import Caller, Role
from appliance.rpc.admin_calls import (
    BadRequest,
    ControlRefused,
    answered,
    checked_digest,
    checked_limit,
    tenant_of,
)
from appliance.rpc.admin_turns import Turns
from appliance.rpc.places import NoPlace
from appliance.state.environment import StateError


class Ended(Exception):
    """A call was ended: its status and its sentence."""


class EndingContext:
    """A context that remembers how the call was ended."""

    async def abort(self, code: grpc.StatusCode, sentence: str) -> NoReturn:
        """End it."""
        raise Ended(code, sentence)


class Service:
    """A service with one call, whose body does as it is asked."""

    def __init__(self, most: int = 2) -> None:
        self.turns = Turns(Limits(admin_calls=most, tenant=TenantLimits(admin_calls=1)))

    async def caller(self, _context: object) -> Caller:
        """Always the same."""
        return Caller("uid-1.pid-3", Role.PROVIDER)

    @answered
    async def Ask(self, request: Exception | str, caller: Caller) -> str:
        """Raise what is asked for, or answer."""
        if isinstance(request, Exception):
            raise request
        return f"{request} by {caller.name}"

    @answered
    async def Change(self, request: asyncio.Event, _caller: Caller) -> bool:
        """Make a change that waits for what is given."""
        return await Changes().whole(request.wait())


async def test_a_body_is_told_who_calls() -> None:
    """And what it returns is the reply."""
    context: Any = EndingContext()
    assert await Service().Ask("asked", context) == "asked by uid-1.pid-3"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadRequest("wrong"), grpc.StatusCode.INVALID_ARGUMENT),
        (ControlRefused("locked"), grpc.StatusCode.FAILED_PRECONDITION),
        (StateError("the state is damaged"), grpc.StatusCode.FAILED_PRECONDITION),
        (NoPlace("too many"), grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
async def test_what_is_refused_ends_as_the_wire_says(error: Exception, code: grpc.StatusCode) -> None:
    """With the sentence of the error."""
    context: Any = EndingContext()
    with pytest.raises(Ended) as ended:
        await Service().Ask(error, context)
    assert ended.value.args == (code, str(error))


async def test_a_call_has_its_place_until_it_ends() -> None:
    """Who finds none is told so; however a call ended, its place is free."""
    context: Any = EndingContext()
    service = Service(1)
    with service.turns.one(PROVIDER), pytest.raises(Ended) as ended:
        await service.Ask("asked", context)
    assert ended.value.args == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "1 calls of administrators are worked on now, which is all: wait for one of them",
    )
    with pytest.raises(Ended):
        await service.Ask(BadRequest("wrong"), context)
    assert await service.Ask("asked", context)


async def test_who_goes_away_has_his_place_until_his_change_is_over() -> None:
    """One who asks for changes and goes away, over and over, has no more of them made than one who stays."""
    context: Any = EndingContext()
    service, disk = Service(1), asyncio.Event()
    call = asyncio.ensure_future(service.Change(disk, context))  # noqa: TID251  it is awaited below
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.sleep(0)
    with pytest.raises(Ended, match="1 calls of administrators are worked on now"):
        await service.Ask("asked", context)
    disk.set()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await service.Ask("asked", context)


def test_a_digest_has_32_bytes() -> None:
    """The sentence tells both lengths."""
    assert checked_digest(b"d" * 32) == b"d" * 32
    with pytest.raises(BadRequest, match="sha256 has 31 bytes: give exactly 32"):
        checked_digest(b"d" * 31)


def test_a_limit_is_bounded_and_zero_is_the_usual() -> None:
    """As the wire says of each list."""
    assert [checked_limit(limit, 7, 9) for limit in (0, 1, 9)] == [7, 1, 9]
    with pytest.raises(BadRequest, match="limit is 10: ask for at most 9 entries"):
        checked_limit(10, 7, 9)


PROVIDER = Caller("root", Role.PROVIDER)
ACME, OTHER = (Caller(name, Role.TENANT_ADMIN, name) for name in ("acme", "other"))


def test_a_request_is_about_the_callers_own_tenant_unless_it_names_one() -> None:
    """A caller of none means all; one of a tenant may name his own."""
    assert [tenant_of(caller, "") for caller in (PROVIDER, ACME)] == ["", "acme"]
    assert [tenant_of(caller, "acme") for caller in (PROVIDER, ACME)] == ["acme", "acme"]


def test_another_tenant_is_not_there() -> None:
    """The sentence is that for one that nobody has; what is no name at all breaks a rule."""
    for name in ("other", "nobody"):
        with pytest.raises(ControlRefused, match=rf"^no tenant '{name}' is known"):
            tenant_of(ACME, name)
    with pytest.raises(BadRequest, match="tenant is"):
        tenant_of(PROVIDER, "a/b")
