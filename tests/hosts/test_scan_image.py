"""`svm-host scan-image` of real images and machines, with a real SVM."""

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lightagent.v1 import events_pb2

from appliance.cli.console import Console
from appliance.hypervisor.cli.program import run
from appliance.rpc.admin_client import AdminClient
from tests.support.contents import EICAR
from tests.support.disk_images import converted, empty, ext4, overlay, patch, write_tree
from tests.support.kvm_host import KvmHost, kvm_host
from tests.support.svm import DEADLINE
from tests.support.svm_process import ROOT, SvmProcess, svm_process


@pytest.fixture
def svm(tmp_path: Path) -> Iterator[SvmProcess]:
    """A real SVM."""
    directory = tmp_path / "svm"
    directory.mkdir()
    with svm_process(directory) as svm:
        yield svm


def svm_host(svm: SvmProcess, *words: object, good: bool = True) -> tuple[int, dict[str, Any], str]:
    """Run `svm-host scan-image ... --json`: exit code, what it says, and its errors."""
    out, err = io.StringIO(), io.StringIO()
    console = Console({}, out, err, time.time, program="svm-host")
    line = ("scan-image", "--socket", f"{svm.directory}/admin.sock", "--json", *map(str, words))
    code = run(line, console)
    assert bool(out.getvalue()) == good, err.getvalue()
    return code, json.loads(out.getvalue()) if good else {}, err.getvalue()


def events(svm: SvmProcess, number: int, *kinds: str) -> list[tuple[str, str]]:
    """The kinds and texts of events, once there are so many: they are written a moment later."""
    end = time.monotonic() + DEADLINE
    with AdminClient(f"{svm.directory}/admin.sock") as client:
        while True:
            found = list(client.events(events_pb2.ListEventsRequest(kinds=kinds)))
            if len(found) >= number or time.monotonic() > end:
                return [(event.kind, event.text) for event in found]
            time.sleep(0.05)


def test_an_image_is_scanned_and_what_is_found_is_told_with_its_path(tmp_path: Path, svm: SvmProcess) -> None:
    """Through a chain; known to the SVM afterwards; an event for what was found and one for the scan."""
    expected = write_tree(tmp_path / "tree")
    (tmp_path / "tree" / "etc" / "eicar.com").write_bytes(EICAR)
    base = converted(ext4(tmp_path / "tree", tmp_path / "raw"), tmp_path / "base.qcow2")
    image = overlay(base, tmp_path / "top.qcow2", "qcow2")
    code, told, _ = svm_host(svm, image)
    assert code == 1
    assert told["complete"]
    assert (told["files"], told["sent"]) == (len(expected) + 1, len(set(expected.values())) + 1)
    ((path, threat),) = [(each["path"], each["threat"]) for each in told["found"]]
    assert path == "/etc/eicar.com"
    assert "EICAR" in threat.upper()
    assert svm_host(svm, image)[1]["sent"] == 0
    happened = events(svm, 4, "image-scanned", "image-detection", "detection")
    assert [kind for kind, _ in happened] == ["image-detection", "image-scanned"] * 2
    assert "malicious, in " in happened[0][1]
    assert "disk: /etc/eicar.com" in happened[0][1]
    assert f"{image}: all of it; {len(expected) + 1} files, 1 malicious" in happened[1][1]


def test_clones_of_a_seeded_image_send_nothing(tmp_path: Path, svm: SvmProcess) -> None:
    """Every file of the image is known to a guest that the SVM has never seen."""
    tree = tmp_path / "tree"
    expected = write_tree(tree)
    image = ext4(tree, tmp_path / "golden.raw")
    code, told, _ = svm_host(svm, image, "--seed")
    assert (code, told["complete"]) == (0, True)
    words = [
        "scan",
        "--json",
        "--svm",
        svm.target,
        "--state",
        str(tmp_path / "state"),
        str(tree),
    ]
    ran = subprocess.run(
        [sys.executable, "-m", "guest_stub", *words],
        check=False, capture_output=True, text=True, timeout=120, cwd=ROOT,
    )  # fmt: skip
    counts = json.loads(ran.stdout.strip().rpartition("\n")[2])
    assert ran.returncode == 0, ran.stderr
    assert counts["files"] == len(expected)
    with AdminClient(f"{svm.directory}/admin.sock") as client:
        figures = client.status().figures
        assert figures["protection_contents"] == len(set(expected.values()))  # the image's alone
    assert counts["bytes_sent"] == 0


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--tenant", "nobody"), "no tenant 'nobody' is known"),
        (("--seed", "--tenant", "a"), "give no --tenant with it"),
    ],
)
def test_what_cannot_be_asked_is_a_sentence(
    tmp_path: Path, svm: SvmProcess, words: tuple[str, ...], why: str
) -> None:
    """Nothing is scanned."""
    code, _, err = svm_host(svm, empty(tmp_path / "a.raw", 1), *words, good=False)
    assert code == 2
    assert why in err


def test_an_image_that_cannot_be_read_is_a_sentence(tmp_path: Path, svm: SvmProcess) -> None:
    """Damaged, encrypted, missing; what holds no files is looked at and is no fault."""
    damaged = tmp_path / "a.qcow2"
    damaged.write_bytes(b"QFI\xfb" + bytes(200))
    assert "its header is damaged" in svm_host(svm, damaged, good=False)[2]
    assert "No such file" in svm_host(svm, tmp_path / "none.qcow2", good=False)[2]
    luks = empty(tmp_path / "luks.raw", 1)
    luks.write_bytes(b"LUKS\xba\xbe".ljust(1 << 20, b"x"))
    code, told, _ = svm_host(svm, luks)
    assert (code, told["problems"][0]["why"]) == (2, "it is encrypted (LUKS): only the guest can read it")
    assert svm_host(svm, empty(tmp_path / "empty.raw", 1))[0] == 0


def test_an_image_whose_name_is_no_text_is_scanned(tmp_path: Path, svm: SvmProcess) -> None:
    """The SVM is told of it by escapes."""
    image = empty(tmp_path / os.fsdecode(b"\xff.raw"), 1)
    assert svm_host(svm, image)[0] == 0
    ((_, text),) = events(svm, 1, "image-scanned")
    assert "/\\xff.raw: all of it" in text


def test_what_a_guest_can_read_is_looked_at_or_told(tmp_path: Path, svm: SvmProcess) -> None:
    """A file that its directory calls a link is found; a file system behind zeros makes no empty disk."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "eicar.com").write_bytes(EICAR)
    image = ext4(tmp_path / "tree", tmp_path / "raw", "-O", "^metadata_csum")
    patch(image, image.read_bytes().index(b"\x09\x01eicar.com") + 1, b"\7")
    code, told, _ = svm_host(svm, image)
    assert (code, [each["path"] for each in told["found"]]) == (1, ["/eicar.com"])
    hidden = ext4(tmp_path / "tree", tmp_path / "hidden.raw", "-E", f"offset={1 << 20}")
    code, told, _ = svm_host(svm, hidden)
    assert (code, told["complete"]) == (2, False)
    assert "no partitions and no file system that are known here" in told["problems"][0]["why"]


def test_what_an_image_names_is_followed_beside_it_alone(tmp_path: Path, svm: SvmProcess) -> None:
    """Unless the operator says more."""
    (tmp_path / "uploads").mkdir()
    base = empty(tmp_path / "of-another.raw", 1)
    image = overlay(base, tmp_path / "uploads" / "top.qcow2", "raw")
    code, _, err = svm_host(svm, image, good=False)
    assert code == 2
    assert f"{base} does not lie in the image's directory {image.parent}" in err
    assert svm_host(svm, image, "--backing-anywhere")[0] == 0


@pytest.fixture
def host() -> Iterator[KvmHost]:
    """A host of machines."""
    directory = Path(tempfile.mkdtemp(prefix="kh", dir="/tmp"))
    try:
        with kvm_host(directory / "h") as host:
            yield host
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def define(host: KvmHost, disk: Path, name: str = "web") -> None:
    """Define a machine with a disk."""
    (disk.parent / "web.xml").write_text(
        f"<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory>"
        "<os><type arch='x86_64' machine='q35'>hvm</type></os><devices><disk type='file' device='disk'>"
        f"<driver name='qemu' type='qcow2'/><source file='{disk}'/><target dev='vda' bus='virtio'/>"
        "</disk></devices></domain>"
    )
    host.virsh("define", disk.parent / "web.xml")


def test_a_machine_is_scanned_whether_it_runs_or_not(tmp_path: Path, svm: SvmProcess, host: KvmHost) -> None:
    """Off by its disk, running by a backup, which is over then; the disk of one that runs is refused."""
    tree = tmp_path / "tree"
    expected = write_tree(tree)
    disk = converted(ext4(tree, tmp_path / "raw"), host.directory / "disk.qcow2")
    backups = host.directory / "b"
    backups.mkdir()
    settings = tmp_path / "svm-host.toml"
    settings.write_text(f'state_dir = "{tmp_path}/state"\n[disks]\nbackup_dir = "{backups}"\n')
    define(host, disk)
    of = ("--connect", host.uri, "--config", settings)
    code, off, _ = svm_host(svm, "web", *of)
    assert (code, off["files"], off["complete"]) == (0, len(expected), True)
    host.virsh("start", "web")
    code, running, _ = svm_host(svm, "web", *of)
    assert (code, running["files"], running["sent"]) == (0, len(expected), 0)
    assert "None" in host.virsh("domjobinfo", "web")
    assert list(backups.iterdir()) == []
    assert host.virsh("checkpoint-list", "web", "--name").strip() == ""
    assert [each.suffix for each in (tmp_path / "state" / "scans").iterdir()] == [".lock"]
    code, _, err = svm_host(svm, disk, *of, good=False)
    assert code == 2
    assert "a running machine writes to it: name the machine instead" in err
