"""The network cards of a machine as the kernel lists them, by their hardware addresses."""

import time
from pathlib import Path

from appliance.first_boot.disks import FirstBootError

_SECONDS = 120.0  # systemd-networkd gives a card no address before that either
_LOOK_SECONDS = 0.05
_LOOKS = 3
_INITIALIZED = "I:"  # a line of what udev keeps of a device, once it is through with it


def named(
    mac: str,
    cards: Path = Path("/sys/class/net"),
    known: Path = Path("/run/udev/data"),
    seconds: float = _SECONDS,
) -> str:
    """The name of the card with an address, once udev has given it the one that it keeps.

    What goes by a card's name stops to count when that changes. cards: where the kernel lists them. known:
    where udev keeps what it knows. Raises FirstBootError.
    """
    end = time.monotonic() + seconds
    while card := _with(mac, cards):
        if _through(card, known) and (found := _with(mac, cards)):
            return found.name
        if time.monotonic() > end:
            raise FirstBootError(
                f"udev was not through with the network card {mac} in {seconds:g} s: see `systemctl status "
                "systemd-udevd`"
            )
        time.sleep(_LOOK_SECONDS)
    raise FirstBootError(f"no network card has the address {mac} that the seed names")


def _with(mac: str, cards: Path) -> Path | None:
    for _ in range(_LOOKS):  # a card that gets another name meanwhile may be missed by one
        for card in sorted(cards.iterdir()):
            if _text(card / "address") == mac:
                return card
        time.sleep(_LOOK_SECONDS)
    return None


def _through(card: Path, known: Path) -> bool:
    lines = _text(known / f"n{_text(card / 'ifindex')}").splitlines()
    return any(line.startswith(_INITIALIZED) for line in lines)


def _text(file: Path) -> str:
    """What is in it; "" where it is not there: a card that gets another name is not there any more."""
    try:
        return file.read_text().strip()
    except OSError:
        return ""
