"""What a stream has to say later."""

import asyncio

from appliance.rpc.outbox import Outbox


async def test_what_becomes_known_together_goes_together() -> None:
    """Items keep their order, travel in groups of at most the bound, and none is lost."""
    sent: list[list[int]] = []

    async def send(items: list[int]) -> None:
        sent.append(items)
        await asyncio.sleep(0)

    outbox = Outbox(send, 4)
    runner = asyncio.get_running_loop().create_task(outbox.run())
    for number in range(10):
        outbox.put(number)
    await outbox.drained()
    outbox.put(10)
    await outbox.drained()
    runner.cancel()
    assert [len(group) for group in sent] == [4, 4, 2, 1]
    assert [number for group in sent for number in group] == list(range(11))
