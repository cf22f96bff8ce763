"""Storage pools of a host, and volumes in them, filled from here."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

import libvirt

from appliance.hypervisor.virt.connection import VirtHost, told

_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class PoolState:
    """uuid: "" where there is none of that name. up: started, and with the host. free: bytes."""

    uuid: str
    up: bool = False
    free: int = 0


def pool_state(host: VirtHost, name: str) -> PoolState:
    """What is known of a pool. Raises VirtError."""
    pool = _find(host, name)
    if pool is None:
        return PoolState("")
    with told(f"the storage pool {name} cannot be looked at"):
        active = bool(pool.isActive())
        free = int(pool.info()[3]) if active else 0
        return PoolState(str(pool.UUIDString()), active and bool(pool.autostart()), free)


def define_pool(host: VirtHost, name: str, xml: str) -> None:
    """Define it, or anew. Raises VirtError."""
    with told(f"the storage pool {name} cannot be made"):
        host.connection.storagePoolDefineXML(xml)


def start_pool(host: VirtHost, name: str) -> None:
    """Have it started, now and with the host; its directory is made. Raises VirtError."""
    with told(f"the storage pool {name} cannot be started"):
        pool = host.connection.storagePoolLookupByName(name)
        if not pool.isActive():
            pool.build()
            pool.create()
        pool.setAutostart(True)
        pool.refresh()


def remove_pool(host: VirtHost, name: str) -> None:
    """Stop it and forget it; its directory and what is in it stay. Raises VirtError."""
    pool = _find(host, name)
    if pool is None:
        return
    with told(f"the storage pool {name} cannot be removed"):
        if pool.isActive():
            pool.destroy()
        pool.undefine()


def names(host: VirtHost, pool: str) -> list[str]:
    """The volumes of a pool; none where it is not there or not started. Raises VirtError."""
    found = _find(host, pool)
    with told(f"the volumes of {pool} cannot be listed"):
        if found is None or not found.isActive():
            return []
        return sorted(volume.name() for volume in found.listAllVolumes())


def make(host: VirtHost, pool: str, name: str, xml: str) -> str:
    """Make a volume; its path. Raises VirtError."""
    with told(f"the volume {name} cannot be made in {pool}"):
        return str(host.connection.storagePoolLookupByName(pool).createXML(xml).path())


def path(host: VirtHost, pool: str, name: str) -> str:
    """Where a volume is on the host. Raises VirtError."""
    with told(f"the volume {name} of {pool} cannot be looked at"):
        return str(_volume(host, pool, name).path())


def fill(
    host: VirtHost,
    pool: str,
    name: str,
    content: BinaryIO,
    on_sent: Callable[[int], None] = lambda _bytes: None,
) -> None:
    """Write a content into a volume, from its beginning. Raises VirtError, OSError.

    on_sent: told how many bytes have gone so far.
    """
    with told(f"the volume {name} cannot be written (is the disk of {pool} full?)"):
        stream = host.connection.newStream()
        _volume(host, pool, name).upload(stream, 0, 0)
        sent = 0
        try:
            while chunk := content.read(_CHUNK):
                view = memoryview(chunk)
                while view:
                    taken = stream.send(bytes(view))
                    view = view[taken:]
                    sent += taken
                    on_sent(sent)
            stream.finish()
        except BaseException:
            _abort(stream)
            raise


def content(host: VirtHost, pool: str, name: str, most: int) -> bytes:
    """What is in a volume, of at most so many bytes: what is beyond is left. Raises VirtError."""
    with told(f"the volume {name} of {pool} cannot be read"):
        stream = host.connection.newStream()
        _volume(host, pool, name).download(stream, 0, most)
        found = bytearray()
        try:
            while chunk := stream.recv(_CHUNK):
                found += chunk
            stream.finish()
        except BaseException:
            _abort(stream)
            raise
        return bytes(found)


def remove(host: VirtHost, pool: str, name: str) -> None:
    """Delete a volume; nothing where it is gone. Raises VirtError."""
    with told(f"the volume {name} of {pool} cannot be deleted"):
        try:
            _volume(host, pool, name).delete()
        except libvirt.libvirtError as error:
            if error.get_error_code() not in (
                libvirt.VIR_ERR_NO_STORAGE_VOL,
                libvirt.VIR_ERR_NO_STORAGE_POOL,
            ):
                raise


def _volume(host: VirtHost, pool: str, name: str) -> libvirt.virStorageVol:
    return host.connection.storagePoolLookupByName(pool).storageVolLookupByName(name)


def _find(host: VirtHost, name: str) -> libvirt.virStoragePool | None:
    with told(f"the storage pool {name} cannot be looked for"):
        try:
            return host.connection.storagePoolLookupByName(name)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_STORAGE_POOL:
                return None
            raise


def _abort(stream: libvirt.virStream) -> None:
    with suppress(libvirt.libvirtError):  # it is over already; why is being told
        stream.abort()
