"""svm-host isolate|release on libvirt's own test host, which sets no links; others are in integration."""

import io
from pathlib import Path

from appliance.cli.console import Console
from appliance.hypervisor.cli.program import run
from appliance.hypervisor.isolation.records import Record, Records
from tests.support.commands import Ran
from tests.support.virt_test_host import MACS, UUID, own_test_host

MALLORY, OTHER, GONE = (f"aaaaaaaa-0000-4000-8000-00000000000{number}" for number in (1, 2, 3))
ESCAPE = "a\u009b31m"  # which an 8-bit terminal takes for the beginning of an order


def svm_host(directory: Path, *words: str) -> Ran:
    """Run `svm-host` with a state of its own, against a test host that each command has anew."""
    (directory / "svm-host.toml").write_text(f'state_dir = "{directory}/state"\n')
    out, err = io.StringIO(), io.StringIO()
    uri = own_test_host(directory, {UUID: MALLORY, ESCAPE: OTHER})
    where = ("--connect", uri, "--config", str(directory / "svm-host.toml"))
    code = run((*words, *where), Console({}, out, err, lambda: 0.0, program="svm-host"))
    return Ran(code, out.getvalue(), err.getvalue())


def test_a_machine_is_cut_off_and_released(tmp_path: Path) -> None:
    """What cannot be set is told, and the exit code says so; a snapshot is said."""
    ran = svm_host(tmp_path, "isolate", "test", "--snapshot", "--reason", "it smells")
    assert ran.code == 2
    assert ran.out.splitlines() == [
        f"test ({UUID}) is cut off in part: of 2 links 1 down, up: {MACS[1]}#1",
        "snapshot: its disks, and its memory where it runs",
    ]
    assert ran.err.count("svm-host: link 52:54:00:00:00:02#1 (") == 2
    assert svm_host(tmp_path, "isolate", UUID).out.startswith(f"test ({UUID}) is cut off in part: ")
    record = Records(tmp_path / "state").get(UUID)
    assert record is not None
    assert (record.reason, record.name) == ("it smells", "test")
    ran = svm_host(tmp_path, "release", "test")
    assert (ran.code, ran.out, ran.err) == (0, f"test ({UUID}) has its 2 links as they were\n", "")
    ran = svm_host(tmp_path, "release", "test")
    assert (ran.code, ran.out) == (1, f"test ({UUID}) was not cut off\n")


def test_bad_input_is_a_sentence(tmp_path: Path) -> None:
    """A machine that there is not, a reason that is too long, a state that cannot be used."""
    ran = svm_host(tmp_path, "isolate", "nobody")
    assert (ran.code, ran.err) == (2, "svm-host: no host has a machine 'nobody': see `svm-host vms`\n")
    assert "--reason is longer than" in svm_host(tmp_path, "isolate", "test", "--reason", "x" * 600).err
    (tmp_path / "state").write_text("")
    ran = svm_host(tmp_path, "isolate", "test")
    assert (ran.code, "see that svm-host may write there" in ran.err) == (2, True)


def test_what_was_kept_of_a_machine_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    """By its name; else it would stay for good."""
    records = Records(tmp_path / "state")
    uri = own_test_host(tmp_path)
    records.put(Record(GONE, uri, "gone", 1.0, "why", "me"))
    assert svm_host(tmp_path, "isolate", "gone").code == 2
    assert records.uuids() == {GONE}
    ran = svm_host(tmp_path, "release", "gone")
    assert (ran.code, "is forgotten" in ran.err) == (2, True)
    assert records.uuids() == frozenset()


def test_what_was_kept_of_another_machine_stays(tmp_path: Path) -> None:
    """One on a host that was not asked, one that is called by the UUID of one that is gone, one of two."""
    records, uri = Records(tmp_path / "state"), own_test_host(tmp_path)
    records.put(Record(GONE, "test:///elsewhere", "away", 1.0, "why", "me"))
    records.put(Record(MALLORY, uri, OTHER[:-1] + "9", 1.0, "why", "me"))
    records.put(Record(OTHER[:-1] + "8", uri, "twice", 1.0, "why", "me"))
    records.put(Record(OTHER[:-1] + "7", uri, "twice", 1.0, "why", "me"))
    before = records.uuids()
    ran = svm_host(tmp_path, "release", "away")
    assert (ran.code, "was cut off on test:///elsewhere, which was not asked: leave" in ran.err) == (2, True)
    ran = svm_host(tmp_path, "release", OTHER[:-1] + "9")
    assert (ran.code, "no host has a machine with the UUID" in ran.err) == (2, True)
    ran = svm_host(tmp_path, "release", "twice")
    assert (ran.code, "several machines that are gone were called twice" in ran.err) == (2, True)
    assert records.uuids() == before


def test_a_machine_that_is_called_by_anothers_uuid_is_not_taken_for_it(tmp_path: Path) -> None:
    """Neither to be cut off nor to be released."""
    for command in ("isolate", "release"):
        assert svm_host(tmp_path, command, UUID).out.startswith(f"test ({UUID}) ")
    assert svm_host(tmp_path, "isolate", MALLORY).out.startswith(f"{UUID} ({MALLORY}) ")


def test_a_machines_name_does_not_steer_the_terminal(tmp_path: Path) -> None:
    """It may be a tenant's word."""
    assert svm_host(tmp_path, "isolate", OTHER).out.startswith(f"a?31m ({OTHER}) ")
