"""What an administrator's calls have in common: who calls, whose things he sees, what is refused, and how.

One rule stands over all of them: a caller of one tenant sees and touches what is that tenant's, and what is
another's is answered as if it did not exist.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Protocol, TypeVar

import grpc

from appliance.domain.caller import Caller
from appliance.domain.digest import DIGEST_BYTES
from appliance.domain.policy import MAX_TENANT_BYTES, TENANT_RULE, is_tenant
from appliance.domain.tenants import unknown_tenant
from appliance.rpc.identity import Context
from appliance.rpc.places import NoPlace
from appliance.state.environment import StateError

CallerOf = Callable[[Context], Awaitable[Caller]]


class ControlRefused(Exception):
    """What was asked cannot be done as things are. The message says why and what to do."""


class BadRequest(Exception):
    """The request breaks a rule of the wire. The message says which."""


class AdminService(Protocol):
    """A service for administrators."""

    @property
    def caller(self) -> CallerOf:
        """Who calls; ends the call itself where nobody vouches."""

    @property
    def turns(self) -> "Room":
        """What the calls of all such services share."""


class Room(Protocol):
    """How many calls are worked on at once."""

    def one(self, caller: Caller, ends: bool) -> AbstractContextManager[None]:
        """Take a place for a call, for the length of a `with`. Raises NoPlace.

        ends: whether it is to end what counts, for which there are places of their own.
        """


Service = TypeVar("Service", bound=AdminService)
Asked = TypeVar("Asked")
Reply = TypeVar("Reply")


def answered(
    body: Callable[[Service, Asked, Caller], Awaitable[Reply]],
) -> Callable[[Service, Asked, Context], Awaitable[Reply]]:
    """Turn a body that is given the caller into a call that ends as the wire says, and has its place."""
    return _answered(body, ends=False)


def ending(
    body: Callable[[Service, Asked, Caller], Awaitable[Reply]],
) -> Callable[[Service, Asked, Context], Awaitable[Reply]]:
    """The same for a body that ends what counts: other calls, however many, do not keep it from its place."""
    return _answered(body, ends=True)


def _answered(
    body: Callable[[Service, Asked, Caller], Awaitable[Reply]], ends: bool
) -> Callable[[Service, Asked, Context], Awaitable[Reply]]:
    async def call(self: Service, request: Asked, context: Context) -> Reply:
        caller = await self.caller(context)
        async with refusals(context):
            with self.turns.one(caller, ends):
                return await body(self, request, caller)
        raise AssertionError  # abort raises

    return call


@asynccontextmanager
async def refusals(context: Context) -> AsyncIterator[None]:
    """Have a call end as the wire says where its body refuses something."""
    try:
        yield
    except BadRequest as error:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
    except (ControlRefused, StateError) as error:
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
    except NoPlace as error:
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))


def tenant_of(caller: Caller, named: str) -> str:
    """Return whose things a request is about: the tenant's that it names, else the caller's own, "" for all.

    Raises ControlRefused for a tenant that is not the caller's to see, whether or not there is one.
    """
    if not named:
        return caller.tenant
    if not caller.sees(checked_tenant(named)):
        raise ControlRefused(unknown_tenant(named))
    return named


def checked_tenant(name: str) -> str:
    """Return a tenant's name that is one, or raise BadRequest."""
    if not is_tenant(name):
        raise BadRequest(f"tenant is {name[:MAX_TENANT_BYTES]!r}: {TENANT_RULE}")
    return name


def checked_digest(sha256: bytes) -> bytes:
    """Return a digest of the right length, or raise BadRequest."""
    if len(sha256) != DIGEST_BYTES:
        raise BadRequest(f"sha256 has {len(sha256)} bytes: give exactly {DIGEST_BYTES}")
    return sha256


def checked_limit(limit: int, usual: int, most: int) -> int:
    """Return how many entries are asked for, `usual` for 0, or raise BadRequest."""
    if limit > most:
        raise BadRequest(f"limit is {limit}: ask for at most {most} entries")
    return limit or usual
