"""What an administrator's calls have in common."""

from typing import Any, NoReturn

import grpc
import pytest

from appliance.domain.caller import Caller, Role
from appliance.rpc.admin_calls import BadRequest, ControlRefused, answered, checked_digest, checked_limit


class Ended(Exception):
    """A call was ended: its status and its sentence."""


class EndingContext:
    """A context that remembers how the call was ended."""

    async def abort(self, code: grpc.StatusCode, sentence: str) -> NoReturn:
        """End it."""
        raise Ended(code, sentence)


class Service:
    """A service with one call, whose body does as it is asked."""

    async def caller(self, _context: object) -> Caller:
        """Always the same."""
        return Caller("uid-1.pid-3", Role.PROVIDER)

    @answered
    async def Ask(self, request: Exception | str, caller: Caller) -> str:
        """Raise what is asked for, or answer."""
        if isinstance(request, Exception):
            raise request
        return f"{request} by {caller.name}"


async def test_a_body_is_told_who_calls() -> None:
    """And what it returns is the reply."""
    context: Any = EndingContext()
    assert await Service().Ask("asked", context) == "asked by uid-1.pid-3"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadRequest("wrong"), grpc.StatusCode.INVALID_ARGUMENT),
        (ControlRefused("locked"), grpc.StatusCode.FAILED_PRECONDITION),
    ],
)
async def test_what_is_refused_ends_as_the_wire_says(error: Exception, code: grpc.StatusCode) -> None:
    """With the sentence of the error."""
    context: Any = EndingContext()
    with pytest.raises(Ended) as ended:
        await Service().Ask(error, context)
    assert ended.value.args == (code, str(error))


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
