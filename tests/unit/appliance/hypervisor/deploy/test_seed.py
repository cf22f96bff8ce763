"""What an SVM is told at its first boot."""

import json
import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.hypervisor.deploy.deployment import BadDeployment, Deployment
from appliance.hypervisor.deploy.iso import image
from appliance.hypervisor.deploy.seed import Told, checked_keys, seed_of, told_in

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI somebody"


def read(content: bytes, name: str, tmp_path: Path) -> Any:
    """A file of a seed, as it is read by what knows JSON."""
    path = tmp_path / "seed.iso"
    path.write_bytes(content)
    words = ["isoinfo", "-i", str(path), "-J", "-x", f"/{name}"]
    text = subprocess.run(words, check=True, capture_output=True).stdout
    return json.loads(text.removeprefix(b"#cloud-config\n"))


def test_both_forms_say_the_same(tmp_path: Path) -> None:
    """For an image with cloud-init and for one without."""
    name, content = seed_of(Deployment(), Told(ssh_keys=(KEY,)))
    own = read(content, "svm-seed.json", tmp_path)
    config = read(content, "network-config", tmp_path)["ethernets"]
    user = read(content, "user-data", tmp_path)
    assert name == f"svm-seed-{own['instance']}.iso"
    assert own["instance"] == read(content, "meta-data", tmp_path)["instance-id"]
    for card in ("guests", "host"):
        assert config[card]["match"]["macaddress"] == own[card]["mac"]
        assert config[card]["addresses"] == [own[card]["address"]]
    assert user["write_files"][0]["content"] == own["settings"]
    assert user["ssh_authorized_keys"] == own["ssh_keys"] == [KEY]


def test_its_doors_are_where_they_belong(tmp_path: Path) -> None:
    """Guests come in on their network, administrators on the host's; the rest is the operator's."""
    own = "[server]\nstop_grace_seconds = 5\n[limits]\nmax_guests = 7\n"
    seed = read(seed_of(Deployment(), Told(own))[1], "svm-seed.json", tmp_path)
    assert tomllib.loads(seed["settings"]) == {
        "server": {
            "listen": "tcp:10.113.0.2:7443",
            "enrolment": "10.113.0.2:7444",
            "admin_listen": "10.113.1.2:7445",
            "stop_grace_seconds": 5,
        },
        "limits": {"max_guests": 7},
    }
    assert seed["init"][2:] == ["--address", "10.113.0.2", "--address", "10.113.1.2"]
    plain = read(seed_of(Deployment(), Told("[limits]\nmax_guests = 7\n"))[1], "svm-seed.json", tmp_path)
    assert tomllib.loads(plain["settings"])["limits"] == {"max_guests": 7}


@pytest.mark.parametrize(
    "own", ["[server] # mine\r\n", "[server]", "server.name = 'a'\n", "# in [server]\n[limits]\n"]
)
def test_its_doors_are_there_however_the_operator_writes(own: str, tmp_path: Path) -> None:
    """And his own settings beside them; see test_svm_toml."""
    seed = read(seed_of(Deployment(), Told(own))[1], "svm-seed.json", tmp_path)
    server = tomllib.loads(seed["settings"])["server"]
    assert server["admin_listen"] == "10.113.1.2:7445"
    assert set(server) == {"listen", "enrolment", "admin_listen", *tomllib.loads(own).get("server", {})}


@pytest.mark.parametrize("told", [Told(), Told("[limits]\nmax_guests = 7\n"), Told("[server]\n", (KEY, KEY))])
def test_what_was_said_is_read_again(told: Told) -> None:
    """So that an upgrade goes on with it: a seed of it is the same one."""
    made = seed_of(Deployment(), told)
    read_again = told_in(made[1], Deployment())
    assert read_again.ssh_keys == told.ssh_keys
    assert seed_of(Deployment(), read_again) == made


def test_a_seed_that_cannot_be_understood_is_a_sentence() -> None:
    """What to give then is said: nothing is left out in silence."""
    made = seed_of(Deployment(), Told())[1]
    other = seed_of(replace(Deployment(), address="10.1.0.2/24"), Told())[1]
    strange = image("CIDATA", {"svm-seed.json": b'{"settings": 1}'})
    for content in (b"", made[:30_000], other, strange, image("CIDATA", {})):
        with pytest.raises(BadDeployment, match="give both --svm-config and --ssh-key"):
            told_in(content, Deployment())


def test_another_word_is_another_seed() -> None:
    """And the same words are the same one."""
    first = seed_of(Deployment(), Told())
    assert seed_of(Deployment(), Told()) == first
    assert seed_of(Deployment(), Told("[limits]\n"))[0] != first[0]
    assert seed_of(replace(Deployment(), address="10.1.0.2/24"), Told())[0] != first[0]


def test_nothing_secret_is_in_it() -> None:
    """Who reads the disk of a host learns no key."""
    assert b"PRIVATE" not in seed_of(Deployment(), Told())[1]


def test_public_keys_are_looked_at() -> None:
    """A private one is not put into a seed."""
    assert checked_keys(f"# mine\n{KEY}\n\n") == (KEY,)
    for bad in ("", "-----BEGIN OPENSSH PRIVATE KEY-----\n", f"{KEY}\n" * 17):
        with pytest.raises(BadDeployment, match="--ssh-key is no file of"):
            checked_keys(bad)
