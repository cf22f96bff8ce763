"""One tenant's page in the harness's book: its part of the register, as it was acknowledged."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.register import Order, Register, settle


@dataclass
class Page:
    """write: into the run's log. pending: what was asked for and not answered.

    acknowledgements: how many there were. unanswered: what a kill left so, by whether it was done.
    """

    write: Callable[..., None]
    register: Register = field(default_factory=Register)
    pending: Order | None = None
    acknowledgements: int = 0
    unanswered: Counter[str] = field(default_factory=Counter)

    def asks(self, order: Order) -> None:
        """Note what is asked for now."""
        self.pending = order
        self.write("asked", order=order.name, subject=_plain(order.subject))

    def acknowledged(self, *drawn: Any) -> None:
        """Note that it was done. drawn: what the SVM drew for it."""
        assert self.pending is not None
        self.write("acknowledged", order=self.pending.name, drawn=_plain(drawn))
        self.pending.done(self.register, *drawn)
        self.pending = None
        self.acknowledgements += 1

    def settle(self, there: Register) -> None:
        """Hold what is there against it; it is known from then on. Raises Broken."""
        before, self.register = self.register, settle(self.register, self.pending, there, time.time())
        if self.pending is not None:
            self.unanswered["done" if self.register != before else "not done"] += 1
        self.pending = None


def _plain(values: tuple[Any, ...]) -> list[Any]:
    return [value.hex() if isinstance(value, bytes) else value for value in values]
