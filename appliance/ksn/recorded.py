"""Nothing leaves that does not stand in the disclosure ledger, and of what left it is noted how it ended."""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from appliance.ksn.asker import Asker, Disclosure, Ledger, Unknown
from appliance.ksn.reputation import Answer, ReputationError, Request, Trouble

Exchange = Callable[[], Coroutine[Any, Any, Answer | None]]  # with a service; None: it took what it was sent

TAKEN: Final = "taken"  # the result, in the ledger, of what was handed over
CANCELLED: Final = "cancelled"  # the result, in the ledger, of what we ended ourselves
WITHDRAWN: Final = Unknown(Trouble.WITHDRAWN, "the tenant takes part in KSN no more")


class Recorded:
    """What is exchanged with one service."""

    def __init__(self, service: str, ledger: Ledger) -> None:
        """service: as the ledger has it."""
        self._service = service
        self._ledger = ledger

    async def exchange(
        self, asker: Asker, request: Request, exchange: Exchange, may_go: Callable[[], bool]
    ) -> Answer | Unknown | None:
        """Have it written down, and do it if it still may be done; why not, where nothing was sent.

        may_go: the gate, asked once when all is written down. Raises what `exchange` raises.
        """
        number = await self._before(Disclosure(self._service, asker, request))
        if isinstance(number, Unknown):
            return number
        if not may_go():
            self._ledger.after(number, CANCELLED)
            return WITHDRAWN
        result = CANCELLED  # unless it comes to an end of its own
        try:
            reply = await exchange()
            result = reply.zone.value if isinstance(reply, Answer) else TAKEN
            return reply
        except ReputationError as error:
            result = error.trouble.value
            raise
        except Exception:
            result = Trouble.FAULT.value
            raise
        finally:
            self._ledger.after(number, result)

    async def _before(self, disclosure: Disclosure) -> int | Unknown:
        """Have it written down; its number when that is done, and the request may go out."""
        try:
            return await self._ledger.before(disclosure)
        except Exception as error:
            return Unknown(
                Trouble.NOT_RECORDED, f"nothing was sent: the ledger failed ({type(error).__name__})"
            )
