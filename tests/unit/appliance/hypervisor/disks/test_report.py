"""What is told of a scan, and how it ends."""

import json
from dataclasses import replace

import pytest

from appliance.domain.outcome import Unanswered
from appliance.hypervisor.disks import report as report_module
from appliance.hypervisor.disks.report import Report, shown
from appliance.hypervisor.disks.said import FileSeen, VolumeSeen
from appliance.rpc.images_client import ImageAnswer

FILE = FileSeen(1, b"/bin/\xffx", 10, bytes(32), None)
CLEAN, NOTHING, MALICIOUS, SUSPICIOUS, TOO_LARGE = 3, 4, 1, 2, 10


def test_nothing_found_and_everything_looked_at() -> None:
    """Exit code 0; swap is no gap."""
    report = Report("disk.qcow2")
    report.volume(VolumeSeen(0, "disk", 1_000_000, "ext4", "", False))
    report.volume(VolumeSeen(1, "swap", 1, "", "it is swap space", True))
    report.file("disk", FILE, ImageAnswer(NOTHING))
    report.file("disk", FILE, ImageAnswer(CLEAN))
    assert report.exit_code == 0
    assert list(report.lines())[-1].startswith("disk.qcow2: 2 files (0.0 MB), 0 malicious")


def test_what_was_found_stands_first_and_decides() -> None:
    """With its path, whatever bytes that has; and what acts on a terminal does not."""
    report = Report("disk.qcow2")
    report.file("disk", FILE, ImageAnswer(MALICIOUS, "Bad\x1b[2J", "inner.exe"))
    report.file("disk", FILE, ImageAnswer(SUSPICIOUS, ""))
    report.file("disk", FILE, ImageAnswer(TOO_LARGE, reason="over 256 MiB"))
    report.file("disk", FILE, ImageAnswer(int(Unanswered.CHANGED), reason="the server of the disk has gone"))
    lines = list(report.lines())
    assert lines[0] == "disk: /bin/\\xffx!inner.exe: Bad?[2J FOUND"
    assert lines[1] == "disk: /bin/\\xffx: unnamed FOUND (suspicious)"
    assert lines[2] == "disk: /bin/\\xffx: NOT LOOKED AT (too large: over 256 MiB)"
    assert lines[3] == "disk: /bin/\\xffx: NOT LOOKED AT (the server of the disk has gone)"
    assert report.exit_code == 1
    told = json.loads(json.dumps(report.as_dict()))
    assert told["found"][0]["path"] == "/bin/\\xffx"
    assert (told["malicious"], told["unanswered"], told["complete"]) == (1, 2, False)


def test_what_was_not_looked_at_is_exit_code_2() -> None:
    """A volume that is not read is."""
    report = Report("disk.qcow2")
    report.volume(VolumeSeen(0, "disk", 9, "", "it is encrypted (LUKS): only the guest can read it", False))
    assert report.exit_code == 2
    assert "disk: NOT LOOKED AT (it is encrypted (LUKS)" in next(iter(report.lines()))
    assert shown(b"/\xff") == "/\\xff"


def test_finds_and_problems_that_are_not_kept_are_counted_in_a_line_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A disk may have any number of them."""
    monkeypatch.setattr(report_module, "MOST_KEPT", 2)
    report = Report("disk.qcow2")
    for outcome in (MALICIOUS, MALICIOUS, SUSPICIOUS, MALICIOUS, TOO_LARGE, TOO_LARGE, TOO_LARGE):
        report.file("disk", FILE, ImageAnswer(outcome))
    lines = list(report.lines())
    assert sum(line.endswith("FOUND") and line.startswith("disk:") for line in lines) == 2
    assert lines[2] == "and 2 more that were FOUND"
    assert lines[5] == "and 1 more that were not looked at"


def test_what_was_not_read_again_is_counted() -> None:
    """And only then spoken of; a scan that was cut short is not complete."""
    report = Report("web")
    report.file("disk", FILE, ImageAnswer(CLEAN))
    assert "unchanged" not in report.summary()
    report.file("disk", replace(FILE, unchanged=True), ImageAnswer(CLEAN))
    assert (
        "2 files (0.0 MB), of these 1 (0.0 MB) unchanged and not read again, 0 malicious" in report.summary()
    )
    told = report.as_dict()
    assert (told["unchanged"], told["unchanged_bytes"], told["bytes"]) == (1, 10, 20)
    assert not report.is_cut
    report.cut("web", b"", "it was interrupted")
    assert (report.is_cut, report.exit_code) == (True, 2)
