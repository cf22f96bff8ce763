"""What a network card is called in the end."""

import threading
from pathlib import Path

import pytest

from appliance.first_boot.cards import named
from appliance.first_boot.disks import FirstBootError

MAC, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"


@pytest.fixture
def cards(tmp_path: Path) -> Path:
    """Two of them as the kernel lists them, and udev, which knows nothing yet."""
    for number, mac in ((2, MAC), (3, OTHER)):
        card = tmp_path / "net" / f"eth{number}"
        card.mkdir(parents=True)
        (card / "address").write_text(f"{mac}\n")
        (card / "ifindex").write_text(f"{number}\n")
    (tmp_path / "net" / "bonding_masters").write_text("")
    (tmp_path / "data").mkdir()
    return tmp_path / "net"


def through(cards: Path, number: int) -> None:
    """udev is through with one."""
    (cards.parent / "data" / f"n{number}").write_text("I:1234\nE:ID_NET_DRIVER=virtio_net\nG:systemd\n")


def test_a_card_has_the_name_that_udev_gave_it(cards: Path) -> None:
    """Not the one from before, by which a rule of the kernel would be without a card."""
    data = cards.parent / "data"

    def renamed() -> None:
        through(cards, 3)  # another card counts for nothing
        (data / "n2").write_text("E:ID_NET_DRIVER=virtio_net\n")
        (cards / "eth2").rename(cards / "enp1s0")
        through(cards, 2)

    late = threading.Timer(0.2, renamed)
    late.start()
    assert named(MAC, cards, data) == "enp1s0"
    late.join()


def test_a_card_that_udev_does_not_get_through_with_is_a_sentence(cards: Path) -> None:
    """systemd-networkd would not take it either."""
    with pytest.raises(FirstBootError, match=f"udev was not through with the network card {MAC} in 0 s"):
        named(MAC, cards, cards.parent / "data", 0.0)


def test_a_card_that_is_not_there_is_a_sentence(cards: Path) -> None:
    """By its hardware address."""
    with pytest.raises(FirstBootError, match="no network card has the address 52:54:00:00:00:09"):
        named("52:54:00:00:00:09", cards, cards.parent / "data")
