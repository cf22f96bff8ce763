"""A disk that tells an SVM of a test who it is, as `svm-host deploy` writes one."""

import json
import subprocess
from pathlib import Path

GUESTS_MAC, HOST_MAC = "52:54:00:6b:00:01", "52:54:00:6b:00:02"
SETTINGS = """[server]
listen = "tcp:10.113.0.2:7443"
enrolment = "10.113.0.2:7444"
admin_listen = "10.113.1.2:7445"

[scanning]
workers = 1
"""


def make_seed(file: Path, settings: str = SETTINGS) -> Path:
    """Write it. Two network cards: GUESTS_MAC for 10.113.0.2/24, HOST_MAC for 10.113.1.2/24."""
    directory = file.with_suffix(".d")
    directory.mkdir()
    seed = {
        "version": 1,
        "name": "kvmla-svm",
        "guests": {
            "mac": GUESTS_MAC,
            "address": "10.113.0.2/24",
            "dhcp": ["10.113.0.16", "10.113.0.254"],
        },
        "host": {"mac": HOST_MAC, "address": "10.113.1.2/24"},
        "init": ["--name", "kvmla-svm", "--address", "10.113.0.2", "--address", "10.113.1.2"],
        "settings": settings,
        "ssh_keys": [],
    }
    (directory / "svm-seed.json").write_text(json.dumps(seed))
    (directory / "meta-data").write_text("instance-id: one\n")
    (directory / "user-data").write_text("#cloud-config\n{}\n")
    subprocess.run(
        ["genisoimage", "-quiet", "-J", "-r", "-V", "CIDATA", "-o", file, directory], check=True, timeout=60
    )
    return file
