"""What a stream has to say later."""

import asyncio

from appliance.rpc.outbox import Outbox


async def test_what_becomes_known_together_goes_together() -> None:
    """Items keep their order, travel in groups of at most the bound, and none is lost."""
    sent: list[list[int]] = []

    async def send(items: list[int]) -> None:
        sent.append(items)
        await asyncio.sleep(0)

    outbox = Outbox(send, 4, lambda: 0.01)
    runner = asyncio.get_running_loop().create_task(outbox.run())
    for number in range(10):
        outbox.put(number)
    await outbox.drained()
    outbox.put(10)
    await outbox.drained()
    runner.cancel()
    assert [len(group) for group in sent] == [4, 4, 2, 1]
    assert [number for group in sent for number in group] == list(range(11))


async def test_what_may_be_the_last_does_not_wait_for_more() -> None:
    """An item goes at once where nothing is to be waited for, and else when the time is over."""
    lingers = [0.0, 3600.0]
    sent: list[int] = []

    async def send(items: list[int]) -> None:
        sent.extend(items)

    outbox = Outbox(send, 4, lambda: lingers.pop(0))
    runner = asyncio.get_running_loop().create_task(outbox.run())
    outbox.put(1)
    await asyncio.wait_for(outbox.drained(), 30)
    outbox.put(2)
    await asyncio.sleep(0.02)
    runner.cancel()
    assert sent == [1]
    assert len(outbox) == 1
