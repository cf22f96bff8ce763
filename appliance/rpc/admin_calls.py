"""What an administrator's calls have in common: who calls, what is refused, and how that is said."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import grpc

from appliance.domain.caller import Caller
from appliance.domain.digest import DIGEST_BYTES
from appliance.rpc.identity import Context

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


Service = TypeVar("Service", bound=AdminService)
Asked = TypeVar("Asked")
Reply = TypeVar("Reply")


def answered(
    body: Callable[[Service, Asked, Caller], Awaitable[Reply]],
) -> Callable[[Service, Asked, Context], Awaitable[Reply]]:
    """Turn a body that is given the caller into a call that ends as the wire says."""

    async def call(self: Service, request: Asked, context: Context) -> Reply:
        caller = await self.caller(context)
        try:
            return await body(self, request, caller)
        except BadRequest as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except ControlRefused as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        raise AssertionError  # abort raises

    return call


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
