"""SVMs that are deployed on a host of the tests, from images that boot nothing, and what is left of them."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from appliance.hypervisor.deploy import images
from appliance.hypervisor.deploy.deployment import Deployment
from appliance.hypervisor.deploy.images import Part
from appliance.hypervisor.deploy.seed import Told, seed_of
from appliance.hypervisor.deploy.site import Site
from appliance.hypervisor.virt.connection import VirtHost

POOL_DIR = "/var/lib/libvirt/kvmla"  # within a host of the tests, whose /var/lib/libvirt is its own


def disk(path: Path, content: bytes = b"") -> Path:
    """A qcow2 of a megabyte that begins with a content."""
    raw = path.with_suffix(".raw")
    raw.write_bytes(content.ljust(1024 * 1024, b"\0"))
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", str(raw), str(path)], check=True)
    raw.unlink()
    return path


def wanted(image: Path, **changes: object) -> tuple[Deployment, list[Part]]:
    """A small deployment of an image, and what goes into its volumes."""
    base = replace(Deployment(), type="qemu", reserve=False, memory_mib=512, vcpus=1, state_gib=1)
    base = replace(base, **{"pool_dir": POOL_DIR} | changes)  # type: ignore[arg-type]
    system = images.system(image)
    name, seed = seed_of(base, Told())
    deployment = replace(base, system=system.name, seed=name)
    return deployment, [system, images.in_memory(name, seed)]


def site_of(
    host: VirtHost,
    tell: Callable[[str], None] = lambda _what: None,
    reach: Callable[[Deployment, bool], list[str]] = lambda _deployment, _new: [],
) -> Site:
    """A site whose SVM answers at once, unless `reach` says otherwise."""
    return Site(host, tell, reach, stop_seconds=0.5)


def everything(host: VirtHost) -> set[str]:
    """All that there is on a host."""
    connection = host.connection
    pools = connection.listAllStoragePools()
    return {
        *(f"network {network.name()} {network.isActive()}" for network in connection.listAllNetworks()),
        *(f"pool {pool.name()} {pool.isActive()}" for pool in pools),
        *(f"volume {volume.name()}" for pool in pools if pool.isActive() for volume in pool.listAllVolumes()),
        *(f"machine {domain.name()} {domain.isActive()}" for domain in connection.listAllDomains()),
    }
