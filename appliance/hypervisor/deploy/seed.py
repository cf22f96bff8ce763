"""What an SVM is told at its first boot: a NoCloud seed. It holds nothing secret, and no key but public ones.

`meta-data`, `network-config` and `user-data` are for cloud-init (JSON is YAML); `svm-seed.json` says the same
to an image without it.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from appliance.hypervisor.deploy.addresses import (
    ENROLMENT_PORT,
    GUESTS_PORT,
    Addresses,
    addresses_of,
    mac_of,
)
from appliance.hypervisor.deploy.deployment import BadDeployment, Deployment
from appliance.hypervisor.deploy.iso import image, read
from appliance.hypervisor.deploy.svm_toml import joined, own_of

LABEL = "CIDATA"
SEED_FILE = "svm-seed.json"
SETTINGS_FILE = "/etc/kvm-light-agent/svm.toml"
MAX_SSH_KEYS = 16

_KEY_KINDS = ("ssh-", "ecdsa-", "sk-")


@dataclass(frozen=True, slots=True)
class Told:
    """What the operator has to say to it. settings: of a svm.toml of his own, "" for none."""

    settings: str = ""
    ssh_keys: tuple[str, ...] = ()


def seed_of(deployment: Deployment, told: Told) -> tuple[str, bytes]:
    """Return the name of the seed's volume and its content. Raises BadDeployment."""
    addresses = addresses_of(deployment)
    seed = _seed(deployment, addresses, told)
    digest = hashlib.sha256(json.dumps(seed, sort_keys=True).encode()).hexdigest()[:12]
    seed["instance"] = digest
    files = {
        "meta-data": {"instance-id": digest, "local-hostname": deployment.name},
        "network-config": _network_config(seed),
        SEED_FILE: seed,
    }
    contents = {name: _json(value) for name, value in files.items()}
    contents["user-data"] = b"#cloud-config\n" + _json(_user_data(deployment, seed))
    return f"svm-seed-{digest}.iso", image(LABEL, contents)


def told_in(content: bytes, deployment: Deployment) -> Told:
    """What the operator said by the seed of a deployment. content: of its volume. Raises BadDeployment."""
    try:
        seed = json.loads(read(content, SEED_FILE))
        settings = own_of(str(seed["settings"]), _doors(addresses_of(deployment)))
        keys = [str(key) for key in seed["ssh_keys"]]
        return Told(settings, checked_keys("\n".join(keys)) if keys else ())
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadDeployment(
            f"the seed of {deployment.name} cannot be understood ({error}): give both --svm-config and "
            "--ssh-key, of which one alone goes on with the other of that seed"
        ) from error


def checked_keys(text: str) -> tuple[str, ...]:
    """The public keys of a file as ssh-keygen writes it. Raises BadDeployment."""
    lines = tuple(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))
    bad = [line for line in lines if not line.startswith(_KEY_KINDS) or len(line) > 8192]
    if bad or not 1 <= len(lines) <= MAX_SSH_KEYS:
        raise BadDeployment(
            f"--ssh-key is no file of 1 to {MAX_SSH_KEYS} public keys: give one such as ~/.ssh/id_ed25519.pub"
        )
    return lines


def _seed(deployment: Deployment, addresses: Addresses, told: Told) -> dict[str, Any]:
    given = addresses.given
    return {
        "version": 1,
        "name": deployment.name,
        "guests": {
            "mac": mac_of(deployment.name, deployment.network),
            "address": str(addresses.guests),
            "dhcp": None if given is None else [str(given[0]), str(given[1])],
        },
        "host": {
            "mac": mac_of(deployment.name, deployment.host_network),
            "address": str(addresses.svm),
        },
        "init": [
            *("--name", deployment.name),
            *("--address", str(addresses.guests.ip)),
            *("--address", str(addresses.svm.ip)),
        ],
        "settings": joined(told.settings, _doors(addresses)),
        "ssh_keys": list(told.ssh_keys),
    }


def _doors(addresses: Addresses) -> dict[str, str]:
    """Where an SVM is asked, by the names that its settings have for that."""
    return {
        "listen": f"tcp:{addresses.guests.ip}:{GUESTS_PORT}",
        "enrolment": f"{addresses.guests.ip}:{ENROLMENT_PORT}",
        "admin_listen": addresses.admin,
    }


def _network_config(seed: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": 2,
        "ethernets": {
            name: {
                "match": {"macaddress": seed[name]["mac"]},
                "set-name": name,
                "dhcp4": False,
                "dhcp6": False,
                "addresses": [seed[name]["address"]],
            }
            for name in ("guests", "host")
        },
    }


def _user_data(deployment: Deployment, seed: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {
        "hostname": deployment.name,
        "write_files": [
            {
                "path": SETTINGS_FILE,
                "permissions": "0644",
                "content": seed["settings"],
            }
        ],
    }
    if seed["ssh_keys"]:
        said |= {"disable_root": False, "ssh_authorized_keys": seed["ssh_keys"]}
    return said


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True).encode() + b"\n"
