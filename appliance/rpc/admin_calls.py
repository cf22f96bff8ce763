"""What an administrator's calls have in common: who calls, whose things he sees, what is refused, and how.

One rule stands over all of them: a caller of one tenant sees and touches what is that tenant's, and what is
another's is answered as if it did not exist.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import Final, Protocol, TypeVar

import grpc

from appliance.domain.caller import LOCAL_NAME, Caller, Role
from appliance.domain.digest import DIGEST_BYTES
from appliance.domain.policy import MAX_TENANT_BYTES, TENANT_RULE, is_tenant
from appliance.domain.tenants import unknown_tenant
from appliance.rpc.identity import Context
from appliance.state.environment import StateError

CallerOf = Callable[[Context], Awaitable[Caller]]


class ControlRefused(Exception):
    """What was asked cannot be done as things are. The message says why and what to do."""


class BadRequest(Exception):
    """The request breaks a rule of the wire. The message says which."""


class NoPlace(Exception):
    """As many calls of a kind are open as may be. The message says so."""


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


_Holder = tuple[str, str]  # of a kind, and which
_TENANTS: Final = "tenants"
_OTHERS: Final = "others"  # of no tenant, and no providers


class Places:
    """So many calls of a kind may be open, `most`; of those that callers of one tenant have, fewer.

    Where some are kept, they are for providers alone. Tenants on one side, and auditors and host agents of
    none on the other, leave as many to each other. One such auditor or host agent has as many as a tenant.
    """

    def __init__(
        self,
        most: int,
        sentence: str,
        of_tenant: int = 0,
        kept: int = 0,
        on_full: Callable[[bool], None] = lambda _of_tenant: None,
    ) -> None:
        """sentence: says that there are no more, with {} for how many there are. of_tenant: 0 for half.

        on_full: told of each who finds none, and whether that is since he, or his tenant, has all that one
        may have.
        """
        self.most = most
        self._of_tenant = of_tenant or max(1, most // 2)
        self._kept = kept
        self._sentence = sentence
        self._on_full = on_full
        self._taken: Counter[_Holder] = Counter()

    @property
    def taken(self) -> int:
        """How many are open."""
        return self._taken.total()

    @contextmanager
    def one(self, caller: Caller) -> Iterator[None]:
        """Take one, for the length of a `with`. Raises NoPlace."""
        holder = _holder(caller)
        has_all = self._has_all(holder)
        if has_all or self._is_full(holder):
            self._on_full(has_all)
            raise NoPlace(self._sentence.format(self._of_tenant if has_all else self.taken))
        self._taken[holder] += 1
        try:
            yield
        finally:
            self._taken[holder] -= 1
            if not self._taken[holder]:
                del self._taken[holder]

    def _is_full(self, holder: _Holder) -> bool:
        if self.taken >= self.most:
            return True
        if holder[0] == Role.PROVIDER or not self._kept:
            return False
        others = sum(count for each, count in self._taken.items() if each[0] != Role.PROVIDER)
        alike = sum(count for each, count in self._taken.items() if each[0] == holder[0])
        return others >= self.most - self._kept or alike >= max(1, self.most - 2 * self._kept)

    def _has_all(self, holder: _Holder) -> bool:
        is_bound = holder[0] == _TENANTS or (holder[0] == _OTHERS and self._kept > 0)
        return is_bound and self._taken[holder] >= self._of_tenant


def _holder(caller: Caller) -> _Holder:
    """Whose a place is. All processes of one user on a socket are one."""
    if caller.tenant:
        return _TENANTS, caller.tenant
    if caller.role is Role.PROVIDER:
        return Role.PROVIDER, ""
    name = caller.name.partition(".")[0] if caller.name.startswith(LOCAL_NAME) else caller.name
    return _OTHERS, f"{caller.role} {name}"


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
