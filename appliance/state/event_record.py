"""An event as bytes, as it lies in events.lmdb: JSON of what there is to say, then the xxh3_64 of it."""

import json
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any

import xxhash

from appliance.domain.event import Event, Said
from appliance.domain.policy import DEFAULT_TENANT
from appliance.state.fields import made_of

_SUM_BYTES = 8
_DEFAULTS = {each.name: each.default for each in fields(Event)}
_SAID_DEFAULTS = {each.name: each.default for each in fields(Said)}


class DamagedEvent(ValueError):
    """The bytes are not an event that was written."""


def encode(event: Event) -> bytes:
    """Return the record. What has its usual value is left out, and so is the tenant of most guests."""
    said = {name: getattr(event, name) for name in _DEFAULTS if getattr(event, name) != _DEFAULTS[name]}
    if event.tenant == _tenant_of(event.guest):
        said.pop("tenant", None)
    elif not event.tenant:
        said["tenant"] = ""
    if event.sha256:
        said["sha256"] = event.sha256.hex()
    if event.said is not None:
        said["said"] = _of_guest(event.said)
    data = json.dumps(said, separators=(",", ":")).encode()
    return data + xxhash.xxh3_64_digest(data)


def decode(record: bytes) -> Event:
    """Return the event, or raise DamagedEvent."""
    data = record[:-_SUM_BYTES]
    if xxhash.xxh3_64_digest(data) != record[-_SUM_BYTES:]:
        raise DamagedEvent("the checksum does not fit the event")
    try:
        told = json.loads(data)
        guests = tuple(str(guest) for guest in told.pop("guests", ()))
        said = _from_guest(told.pop("said")) if "said" in told else None
        told.setdefault("tenant", _tenant_of(told.get("guest", "")))
        return made_of(Event, told, guests=guests, said=said)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DamagedEvent(f"a field has no meaning: {error}") from error


def sieve(kinds: Iterable[str], tenant: str) -> Callable[[bytes], bool]:
    """Return what says of a record, without decoding it, whether it may be of these kinds and this tenant.

    kinds: none for all. tenant: "" for all. It costs a thirtieth of `decode`, and lets through what only
    looks like it, but holds back nothing that is.
    """
    words = [f'"kind":"{kind}"'.encode() for kind in kinds]
    # The tenant of most guests does not stand in a record.
    whose = f'"tenant":{json.dumps(tenant)}'.encode() if tenant not in ("", DEFAULT_TENANT) else b""

    def may_be(record: bytes) -> bool:
        return whose in record and (not words or any(word in record for word in words))

    return may_be


def _tenant_of(guest: str) -> str:
    """Whose an event is that says nothing of it, as those of earlier versions do not."""
    return DEFAULT_TENANT if guest else ""


def _of_guest(said: Said) -> dict[str, Any]:
    told = {
        name: getattr(said, name) for name in _SAID_DEFAULTS if getattr(said, name) != _SAID_DEFAULTS[name]
    }
    if said.path:
        told["path"] = said.path.decode(errors="surrogateescape")  # need not be UTF-8
    return told


def _from_guest(told: dict[str, Any]) -> Said:
    path = told.pop("path", "").encode(errors="surrogateescape")
    return made_of(Said, told, path=path)
