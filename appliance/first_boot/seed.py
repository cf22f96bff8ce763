"""What the disk of a NoCloud data source says to an SVM, in the file svm-seed.json beside cloud-init's own."""

import json
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any

from appliance.first_boot.disks import FirstBootError

NAME = "svm-seed.json"
VERSION = 1
MAX_BYTES = 1 << 20
MAX_INIT_WORDS = 64
MAX_KEYS = 64

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_KEY = re.compile(r"(ssh|ecdsa|sk)-[!-~]+ [A-Za-z0-9+/=]+( [ -~]*)?")


@dataclass(frozen=True, slots=True)
class Card:
    """A network card. mac: its hardware address. dhcp: the addresses that are given to others on its network."""

    mac: str
    address: IPv4Interface
    dhcp: tuple[IPv4Address, IPv4Address] | None = None


@dataclass(frozen=True, slots=True)
class Seed:
    """name: the SVM's. guests, host: its two networks. init: words for `svm init`. settings: svm.toml."""

    name: str
    guests: Card | None
    host: Card | None
    init: tuple[str, ...]
    settings: str
    ssh_keys: tuple[str, ...]


def read_seed(directory: Path) -> Seed | None:
    """Read it; None where the disk has none. Raises FirstBootError."""
    file = directory / NAME
    if not file.exists():
        return None
    with file.open("rb") as opened:
        content = opened.read(MAX_BYTES + 1)
    try:
        if len(content) > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
        data = json.loads(content)
        if data.get("version") != VERSION:
            raise ValueError(f"it is of version {data.get('version')!r}, and this image reads {VERSION}")
        return _seed(data)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise FirstBootError(
            f"{NAME} of the seed cannot be used: {error}: `svm-host deploy` writes one"
        ) from error


def _seed(data: dict[str, Any]) -> Seed:
    init, keys = _texts(data, "init", MAX_INIT_WORDS), _texts(data, "ssh_keys", MAX_KEYS)
    if bad := [key for key in keys if not _KEY.fullmatch(key)]:
        raise ValueError(f"{bad[0][:40]!r} is no public key")
    if not _HOST.fullmatch(data["name"]):
        raise ValueError(f"{data['name'][:80]!r} is no name of a machine")
    if not isinstance(data["settings"], str):
        raise TypeError("settings is no text")
    return Seed(
        data["name"], _card(data.get("guests")), _card(data.get("host")), init, data["settings"], keys
    )


def _card(data: dict[str, Any] | None) -> Card | None:
    if data is None:
        return None
    if not _MAC.fullmatch(data["mac"]):
        raise ValueError(f"{data['mac'][:80]!r} is no hardware address")
    given = data.get("dhcp")
    dhcp = None if given is None else (IPv4Address(given[0]), IPv4Address(given[1]))
    return Card(data["mac"], IPv4Interface(data["address"]), dhcp)


def _texts(data: dict[str, Any], name: str, most: int) -> tuple[str, ...]:
    found = data.get(name, [])
    if not isinstance(found, list) or len(found) > most or not all(isinstance(text, str) for text in found):
        raise ValueError(f"{name} is no list of at most {most} texts")
    return tuple(found)
