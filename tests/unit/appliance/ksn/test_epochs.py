"""How often changes of a service were missed."""

from appliance.ksn.epochs import Epochs


class Network:
    """Keeps what it is told, in order with what is kept."""

    epoch = 0

    def __init__(self) -> None:
        self.done: list[tuple[str, int]] = []

    def forget(self, epoch: int) -> None:
        """See epochs.Forgets."""
        self.done.append(("forget", epoch))
        self.epoch = epoch

    async def keep(self, epoch: int) -> None:
        """As the disk does."""
        self.done.append(("keep", epoch))


async def test_an_epoch_goes_on_where_an_earlier_run_ended() -> None:
    """And is on the disk before anything that was learnt in the last one is forgotten."""
    network = Network()
    epochs = Epochs(network, 3, network.keep)
    assert network.epoch == 3
    await epochs.lost()
    await epochs.lost()
    assert network.done == [("keep", 4), ("forget", 4), ("keep", 5), ("forget", 5)]
