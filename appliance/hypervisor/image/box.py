"""A disk as a box of Vagrant for libvirt: a tar of metadata.json, Vagrantfile and box.img."""

import hashlib
import json
import tarfile
from pathlib import Path

from appliance.hypervisor.image.building import Wanted
from appliance.hypervisor.image.recipe import Access
from appliance.hypervisor.image.running import run

USER = "vagrant"
# Public on purpose, and so is the private one: Vagrant brings both. A box is for trials.
INSECURE_KEY = (
    "ssh-rsa AAAAB3NzaC1yc2EAAAABIwAAAQEA6NF8iallvQVp22WDkTkyrtvp9eWW6A8YVr+kz4TjGYe7gHzIw+niNltGEFHz"
    "D8+v1I2YJ6oXevct1YeS0o9HZyN1Q9qgCgzUFtdOKLv6IedplqoPkcmF0aYet2PkEDo3MlTBckFXPITAMzF8dJSIFo9D8Hfd"
    "OV0IAdx4O7PtixWKn5y2hMNG0zQPyUecp4pzC6kivAIhyfHilFR61RGL+GPXQ2MWZWFYbAGjyiYJnAmCP3NOTd0jMZEnDkbU"
    "vxhMmBYSdETk1rRgm+R4LOzFUGaHqHDLKLX+FIPKcF96hrucXzcWyLbIbEgE98OHlnVYCzRdK8jlqm8tehUc9c9WhQ== vag"
    "rant insecure public key\n"
)
_SUDO = f"{USER} ALL=(ALL) NOPASSWD: ALL\n"
_VAGRANTFILE = """Vagrant.configure("2") do |config|
  config.ssh.insert_key = false
  config.vm.synced_folder ".", "/vagrant", disabled: true
end
"""
_GIB = 1 << 30
_NAMED_BY = 12  # digits of the digest of the disk


def wanted_for_box(kind: str, mib: int) -> Wanted:
    """What a box is made from. kind: svm or guest. mib: of its root file system."""
    access = Access({USER: INSECURE_KEY})
    return Wanted(kind, "lab", access, extra={f"/etc/sudoers.d/{USER}": _SUDO}, mib=mib)


def make_box(kind: str, disk: Path, directory: Path, epoch: int) -> Path:
    """Make the box of a qcow2 disk; return its file, whose name is that of the box.

    The name tells the content: what Vagrant and libvirt keep of an older box is never taken for a newer one.
    epoch: the time of all in it, seconds since 1970. Raises ImageError.
    """
    size = int(json.loads(run(["qemu-img", "info", "--output=json", disk]))["virtual-size"])
    metadata = {"provider": "libvirt", "format": "qcow2", "virtual_size": -(-size // _GIB)}
    with disk.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()[:_NAMED_BY]
    file = directory / f"kvmla-{kind}-{digest}.box"
    if file.exists():
        return file
    part = directory / f".{file.name}.part"
    scratch = directory / f".{file.name}.d"
    scratch.mkdir(exist_ok=True)
    (scratch / "metadata.json").write_text(json.dumps(metadata))
    (scratch / "Vagrantfile").write_text(_VAGRANTFILE)
    with tarfile.open(part, "w") as tar:
        for name, path in (
            ("metadata.json", scratch / "metadata.json"),
            ("Vagrantfile", scratch / "Vagrantfile"),
            ("box.img", disk),
        ):
            tar.add(path, name, filter=lambda member: _plain(member, epoch))
    for path in scratch.iterdir():
        path.unlink()
    scratch.rmdir()
    part.rename(file)
    return file


def _plain(member: tarfile.TarInfo, epoch: int) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mode, member.mtime = 0o644, epoch
    return member
