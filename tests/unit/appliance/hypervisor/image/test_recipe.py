"""What is in an image."""

import stat
from pathlib import PurePosixPath

import pytest

from appliance.hypervisor.image.building import recipe_of
from appliance.hypervisor.image.recipe import SVM_UID, Access, check_user, dress
from appliance.hypervisor.image.running import ImageError
from appliance.hypervisor.image.tree import Tree


def dressed(kind: str, keys: dict[str, str] | None = None, cloud_init: bool = False) -> Tree:
    """A tree with what Debian's packages bring, as far as it matters."""
    tree = Tree(1_700_000_000)
    for name in ("passwd", "group", "shadow", "gshadow"):
        tree.add_text(f"/etc/{name}", "root:x:0:0\n", 0o600)
    tree.add_text("/etc/ssh/ssh_host_rsa_key", "everybody's")
    tree.add_text("/var/log/dpkg.log", "today")
    tree.add_text("/etc/apt/sources.list", "deb copy:///somewhere/of/this/machine ./")
    if cloud_init:
        tree.add_text("/etc/cloud/cloud.cfg", "users: [default]\n")
    dress(tree, recipe_of(kind), Access(keys or {}))
    return tree


def enabled(tree: Tree) -> set[str]:
    """The units that start."""
    return {path.name for path in tree.entries if path.parent.suffix == ".wants"}


@pytest.mark.parametrize(
    ("kind", "units"),
    [
        ("svm", {"svm.service", "svm-packet-filter.service", "kvmla-first-boot.service"}),
        ("guest", {"guest-stub.service"}),
    ],
)
def test_each_starts_what_it_is_there_for(kind: str, units: set[str]) -> None:
    """And has nothing that differs from one making to the next, nor what would be everybody's."""
    tree = dressed(kind)
    assert units <= enabled(tree)
    assert not tree.text("/etc/ssh/ssh_host_rsa_key")
    assert not tree.text("/etc/apt/sources.list")
    assert PurePosixPath("/var/log/dpkg.log") not in tree.entries


def test_the_svm_has_a_user_whose_number_never_changes() -> None:
    """Its state outlives the image."""
    tree = dressed("svm")
    assert f"\nsvm:x:{SVM_UID}:{SVM_UID}:" in tree.text("/etc/passwd")
    state = tree.entries[PurePosixPath("/var/lib/kvm-light-agent")]
    assert (state.uid, stat.S_IMODE(state.mode)) == (SVM_UID, 0o700)
    assert "kvmla-first-boot.service" in tree.text("/etc/systemd/system/svm.service.d/kvmla.conf")


def test_cloud_init_does_what_it_is_asked_for_and_no_more() -> None:
    """Where it is in the image; it makes up no user, and asks nobody but the NoCloud disk."""
    assert not dressed("svm").text("/etc/cloud/cloud.cfg.d/90-kvmla.cfg")
    said = dressed("svm", cloud_init=True).text("/etc/cloud/cloud.cfg.d/90-kvmla.cfg")
    assert "datasource_list: [NoCloud, None]\n" in said
    assert 'users: [""]\n' in said


def test_cards_have_their_names_before_a_rule_goes_by_them() -> None:
    """cloud-init gives them others, and the kernel's rule against guests on the host's side would lapse."""
    unit = dressed("svm").text("/etc/systemd/system/kvmla-first-boot.service").splitlines()
    assert "After=cloud-init-local.service" in unit
    assert "Before=cloud-init.service" in unit


def test_a_guest_has_no_user_of_the_svm() -> None:
    """Nor its port."""
    tree = dressed("guest")
    assert "svm:" not in tree.text("/etc/passwd")
    assert not tree.text("/etc/udev/rules.d/60-kvmla.rules")


def test_who_has_a_key_comes_in_by_ssh() -> None:
    """With a home of his own, in which nobody else writes; nobody comes in by a password."""
    tree = dressed("guest", {"vagrant": "ssh-ed25519 AAAA", "root": "ssh-ed25519 BBBB"})
    keys = tree.entries[PurePosixPath("/home/vagrant/.ssh/authorized_keys")]
    assert (keys.content(), keys.uid, stat.S_IMODE(keys.mode)) == (b"ssh-ed25519 AAAA\n", 1000, 0o600)
    assert tree.text("/root/.ssh/authorized_keys") == "ssh-ed25519 BBBB\n"
    assert "\nvagrant:*:" in tree.text("/etc/shadow")
    assert "PasswordAuthentication no" in tree.text("/etc/ssh/sshd_config.d/kvmla.conf")


@pytest.mark.parametrize("name", ["svm", "A", "a:b", "", "-a", "a\nb", "a" * 40])
def test_what_is_no_user_is_refused(name: str) -> None:
    """It would end in /etc/passwd."""
    with pytest.raises(ImageError, match="cannot be a user"):
        check_user(name)


def test_the_same_user_twice_is_refused() -> None:
    """Two lines of one name in /etc/passwd are one user too many."""
    with pytest.raises(ImageError, match="is there already"):
        dressed("svm", {"svm": "ssh-ed25519 AAAA"})
