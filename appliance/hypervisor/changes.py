"""What happens to the machines of the hosts, as every part of `svm-host serve` hears it.

`inventory/following` publishes; a part subscribes, and gets every machine that is known first. One that is
slow gets the newest of each machine, not every step: what it has to hold is bounded by their number.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Self

from appliance.hypervisor.vm import Vm


@dataclass(frozen=True, slots=True)
class VmSeen:
    """A machine as it is now: at the beginning every one, later each that changed, also in its devices alone.

    host: the URI of its libvirt. started: it began to run since it was told of last; nothing has at first.
    tenant, excluded: by its metadata, or the settings; "" where it is nobody's. sure: see `whose.Whose`.
    """

    host: str
    vm: Vm
    started: bool = False
    tenant: str = ""
    excluded: bool = False
    sure: bool = True

    @property
    def key(self) -> tuple[str, str]:
        """Host and UUID."""
        return self.host, self.vm.uuid


@dataclass(frozen=True, slots=True)
class VmGone:
    """A machine that its host knows no more: undefined, or transient and off, or moved to another host."""

    host: str
    uuid: str

    @property
    def key(self) -> tuple[str, str]:
        """Host and UUID."""
        return self.host, self.uuid


Change = VmSeen | VmGone


class Subscription(AsyncIterator[Change]):
    """What a part has not heard yet. Ends with the serve, or by `close`; one task at a time reads it."""

    def __init__(self, known: Iterator[VmSeen]) -> None:
        """known: what it begins with."""
        self._waiting: dict[tuple[str, str], Change] = {
            seen.key: replace(seen, started=False) for seen in known
        }
        self._some = asyncio.Event()
        self._closed = False
        if self._waiting:
            self._some.set()

    def tell(self, change: Change) -> None:
        """Have the part hear of it. A machine's newest counts; that it started is not lost by that."""
        before = self._waiting.pop(change.key, None)
        if isinstance(change, VmSeen) and isinstance(before, VmSeen) and before.started:
            change = replace(change, started=True)
        self._waiting[change.key] = change
        self._some.set()

    def close(self) -> None:
        """End it; who waits is told so."""
        self._closed = True
        self._some.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        await self._some.wait()
        if not self._waiting:
            raise StopAsyncIteration
        key = next(iter(self._waiting))
        change = self._waiting.pop(key)
        if not self._waiting and not self._closed:
            self._some.clear()
        return change


class Changes:
    """The machines that are known, and who hears of them. For the loop's own thread."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], VmSeen] = {}
        self._subscriptions: list[Subscription] = []

    def publish(self, change: Change) -> None:
        """Tell every part."""
        if isinstance(change, VmSeen):
            self._known[change.key] = change
        else:
            self._known.pop(change.key, None)
        for subscription in self._subscriptions:
            subscription.tell(change)

    def subscribe(self) -> Subscription:
        """Hear of everything from now on, and first of every machine that is known."""
        subscription = Subscription(iter(self._known.values()))
        self._subscriptions.append(subscription)
        return subscription

    def known(self) -> list[VmSeen]:
        """Every machine that is known now."""
        return list(self._known.values())

    def of(self, host: str, uuid: str) -> VmSeen | None:
        """A machine of a host, None where it is not known."""
        return self._known.get((host, uuid))

    def of_uuid(self, uuid: str) -> VmSeen | None:
        """The machine of a UUID, None where no host has it; where two have it, that which runs."""
        found = [seen for (_, known), seen in self._known.items() if known == uuid]
        return max(found, key=lambda seen: seen.vm.power.has_memory, default=None)

    def close(self) -> None:
        """End all subscriptions."""
        for subscription in self._subscriptions:
            subscription.close()
