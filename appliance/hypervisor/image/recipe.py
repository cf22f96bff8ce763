"""What is in an image: packages, programs, services, files."""

import re
from dataclasses import dataclass
from pathlib import Path

import appliance
from appliance.hypervisor.image.running import ImageError
from appliance.hypervisor.image.tree import Tree

FILES = Path(__file__).with_name("files")
_SHIPPED = Path(appliance.__path__[0]) / "systemd"
KERNEL = "linux-image-amd64"
CLOUD_INIT = "cloud-init"

# One root file system of packages serves both, so that it is made once.
BASE = (
    *(
        "systemd",
        "systemd-sysv",
        "udev",
        "kmod",
        "procps",
        "iproute2",
        "netbase",
        "e2fsprogs",
        "busybox-static",
    ),
    *("python3", "ca-certificates", "openssh-server", "bubblewrap", "libarchive13", "acpid", "nftables"),
)
# cloud: with what reads a NoCloud disk as everybody's images do. lab: with what Vagrant needs.
PACKAGE_SETS = {"base": BASE, "cloud": (*BASE, CLOUD_INIT), "lab": (*BASE, "sudo")}

SVM_UID = 971  # of the user that `svm serve` runs as: the state disk outlives the image, so it never changes


@dataclass(frozen=True, slots=True)
class Recipe:
    """name: svm or guest. extras: of pyproject.toml. packages: ours, as add_programs takes them."""

    name: str
    extras: tuple[str, ...]
    packages: tuple[str, ...]
    programs: dict[str, str]
    units: dict[str, Path]


def svm_recipe() -> Recipe:
    """The SVM: everything but what belongs on its host."""
    return Recipe(
        "svm",
        ("appliance",),
        ("appliance!hypervisor", "lightagent"),
        {
            "svm": "appliance.__main__",
            "private-ksn": "appliance.private_ksn.__main__",
            "kvmla-first-boot": "appliance.first_boot.__main__",
        },
        {
            "svm.service": _SHIPPED / "svm.service",
            "svm-packet-filter.service": _SHIPPED / "svm-packet-filter.service",
            "kvmla-first-boot.service": FILES / "kvmla-first-boot.service",
            "svm-host-port.service": FILES / "svm-host-port.service",
        },
    )


def guest_recipe(stub: Path) -> Recipe:
    """A guest of the lab. stub: the directory of the package guest_stub."""
    return Recipe(
        "guest",
        (),
        ("guest_stub", "lightagent"),
        {"guest-stub": "guest_stub.__main__"},
        {"guest-stub.service": stub / "systemd" / "guest-stub.service"},
    )


@dataclass(frozen=True, slots=True)
class Access:
    """Who comes in by ssh: users, and the keys of each as authorized_keys has them."""

    keys: dict[str, str]


_FIRST_UID = 1000
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


def check_user(name: str) -> None:
    """Raise ImageError for what no user of an image can be called."""
    if not _USER.fullmatch(name) or name == "svm":
        raise ImageError(f"{name[:80]!r} cannot be a user of an image: give small letters, digits, - and _")


def dress(tree: Tree, recipe: Recipe, access: Access) -> None:
    """Make a root file system of packages into that of a recipe, but for its programs."""
    _strip(tree)
    tree.add_text("/etc/hostname", f"kvmla-{recipe.name}\n")
    tree.add_text("/etc/hosts", f"127.0.0.1 localhost kvmla-{recipe.name}\n::1 localhost\n")
    tree.add_text("/etc/fstab", "")
    tree.add_text("/etc/apt/sources.list", "")  # it named the directory that the packages came from
    tree.add_text("/etc/machine-id", "")
    tree.add_text("/etc/resolv.conf", "")
    for place in ("/etc/.updated", "/var/.updated"):  # nothing is to be brought up to date at the first start
        tree.add_text(place, f"TIMESTAMP_NSEC={tree.epoch}000000000\n")
    tree.add_text("/etc/systemd/network/90-kvmla.network", _NETWORK)
    tree.add_text("/etc/systemd/system/ssh.service.d/kvmla.conf", _SSH_UNIT)
    tree.add_text("/etc/ssh/sshd_config.d/kvmla.conf", _SSHD)
    tree.add_text(
        "/etc/systemd/journald.conf.d/kvmla.conf", "[Journal]\nStorage=volatile\nRuntimeMaxUse=32M\n"
    )
    tree.add_text("/etc/acpi/events/kvmla", "event=button/power.*\naction=/bin/systemctl poweroff\n")
    _enable(tree, "acpid.service", "multi-user.target")
    _enable(tree, "systemd-networkd.service", "multi-user.target")
    _enable(tree, "systemd-networkd.socket", "sockets.target")
    for unit in _MASKED:
        tree.add_link(f"/etc/systemd/system/{unit}", "/dev/null")
    for unit, file in recipe.units.items():
        tree.add_unit(unit, file.read_text())
    if recipe.name == "svm":
        _add_user(tree, "svm", SVM_UID, "/var/lib/kvm-light-agent", "/usr/sbin/nologin")
        tree.add_directory("/var/lib/kvm-light-agent", 0o700, SVM_UID, SVM_UID)
        tree.add_directory("/etc/kvm-light-agent")
        tree.add_text("/etc/udev/rules.d/60-kvmla.rules", _PORT)
        tree.add_text("/etc/systemd/system/svm.service.d/kvmla.conf", _SVM_UNIT)
        tree.add_text("/etc/systemd/networkd.conf.d/kvmla.conf", _NETWORKD)
        tree.add_text("/etc/systemd/system.conf.d/kvmla.conf", "[Manager]\nRuntimeWatchdogSec=60\n")
    else:
        tree.add_directory("/etc/kvm-light-agent", 0o755)
    if tree.text("/etc/cloud/cloud.cfg"):
        tree.add_text("/etc/cloud/cloud.cfg.d/90-kvmla.cfg", _CLOUD_INIT)
    others = sorted(access.keys.keys() - {"root"})
    for user, keys in sorted(access.keys.items()):
        add_keys(tree, user, 0 if user == "root" else _FIRST_UID + others.index(user), keys)


def add_keys(tree: Tree, user: str, uid: int, keys: str) -> None:
    """Let somebody in by ssh: root, or a user who is made."""
    home = "/root" if user == "root" else f"/home/{user}"
    if user != "root":
        _add_user(tree, user, uid, home, "/bin/bash")
        tree.add_directory(home, 0o755, uid, uid)
    tree.add_directory(f"{home}/.ssh", 0o700, uid, uid)
    tree.add_text(f"{home}/.ssh/authorized_keys", keys.rstrip() + "\n", 0o600, uid)


def _add_user(tree: Tree, name: str, uid: int, home: str, shell: str) -> None:
    if tree.text("/etc/passwd").startswith(f"{name}:") or f"\n{name}:" in tree.text("/etc/passwd"):
        raise ImageError(f"the user {name} is there already: choose another name")
    tree.edit("/etc/passwd", lambda text: f"{text}{name}:x:{uid}:{uid}::{home}:{shell}\n")
    tree.edit("/etc/group", lambda text: f"{text}{name}:x:{uid}:\n")
    tree.edit("/etc/shadow", lambda text: f"{text}{name}:*:19000:0:99999:7:::\n")
    tree.edit("/etc/gshadow", lambda text: f"{text}{name}:!::\n")


def _enable(tree: Tree, unit: str, target: str) -> None:
    tree.add_link(f"/etc/systemd/system/{target}.wants/{unit}", f"/lib/systemd/system/{unit}")


_EMPTIED = ("/dev", "/proc", "/sys", "/run", "/var/log", "/var/cache", "/boot", "/var/lib/apt/lists")


def _strip(tree: Tree) -> None:
    """Take out what is made anew, what each making has otherwise, and what would be everybody's secret."""
    for path in list(tree.entries):
        name = str(path)
        if any(str(parent) in _EMPTIED for parent in path.parents) or name.startswith("/etc/ssh/ssh_host_"):
            tree.entries.pop(path, None)
    for name in ("/var/lib/systemd/random-seed", "/var/lib/systemd/catalog/database", "/etc/.pwd.lock"):
        tree.remove(name)


_NETWORK = """# Every network card by DHCP, where nothing else says otherwise.
[Match]
Type=ether

[Network]
DHCP=yes
IPv6AcceptRA=no
LinkLocalAddressing=no

[DHCPv4]
ClientIdentifier=mac
"""

# The rule of kvmla-first-boot that keeps guests off the host's side stays.
_NETWORKD = """[Network]
ManageForeignRoutingPolicyRules=no
"""

_SSH_UNIT = """# Keys are each machine's own: made when it first starts.
[Service]
ExecStartPre=
ExecStartPre=/bin/sh -c 'cd /etc/ssh; k=ssh_host_ed25519_key; [ -e $k ] || ssh-keygen -qt ed25519 -N "" -f $k'
ExecStartPre=/usr/sbin/sshd -t
"""

_SSHD = """HostKey /etc/ssh/ssh_host_ed25519_key
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UsePAM no
UseDNS no
"""

# What is not asked for by the NoCloud disk is not done: no other place is asked, no user is made up, and the
# locales that it would have made are not in an image. For neither its schema has a word for "none", and what
# is not in that it warns of at each start.
_CLOUD_INIT = """datasource_list: [NoCloud, None]
locale: "false"
users: [""]
ssh_deletekeys: false
ssh_genkeytypes: [ed25519]
"""

_PORT = """SUBSYSTEM=="virtio-ports", ATTR{name}=="org.kvm_light_agent.deploy.0", \\
  OWNER="svm", TAG+="systemd", ENV{SYSTEMD_WANTS}="svm-host-port.service"
"""

# Its state has to be there; and what it says of itself is seen from the host, at the console.
_SVM_UNIT = """[Unit]
Requires=kvmla-first-boot.service
After=kvmla-first-boot.service

[Service]
StandardOutput=journal+console
StandardError=journal+console
"""

# Nothing in an image is updated in its place: a newer image is. What waits or cleans has nothing to do.
_MASKED = (
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer"),
    *(
        "e2scrub_reap.service",
        "fstrim.timer",
        "getty.target",
        "getty-static.service",
        "serial-getty@ttyS0.service",
    ),
    *("systemd-networkd-wait-online.service", "systemd-logind.service", "systemd-update-utmp.service"),
    *("systemd-update-utmp-runlevel.service", "systemd-pstore.service", "systemd-binfmt.service"),
    *("dev-hugepages.mount", "dev-mqueue.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount"),
    *("sys-fs-fuse-connections.mount", "modprobe@configfs.service", "modprobe@dm_mod.service"),
    *(
        "modprobe@fuse.service",
        "modprobe@loop.service",
        "modprobe@drm.service",
        "modprobe@efi_pstore.service",
    ),
)
