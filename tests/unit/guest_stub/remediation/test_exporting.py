"""Tests of what an analyst gets."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from guest_stub.remediation.exporting import PASSWORD, NotExported, export_raw, export_zip
from guest_stub.remediation.sealed import PIECE_BYTES, Damaged
from tests.support.quarantined import BAD, bad_file, entry_of, quarantine, take


def test_a_zip_has_the_content_and_what_is_known(tmp_path: Path) -> None:
    """Under the password that everybody knows, readable by its owner alone."""
    to = tmp_path / "sample.zip"
    entry = entry_of(BAD, path=b"/srv/\xff")
    export_zip(entry, [BAD[:7], BAD[7:]], os.fsencode(to))
    assert to.stat().st_mode & 0o777 == 0o600
    command = ["7z", "x", f"-p{PASSWORD}", f"-o{tmp_path}", str(to)]
    subprocess.run(command, capture_output=True, check=True)
    digest = entry.judged.sha256.hex()
    assert (tmp_path / digest).read_bytes() == BAD
    told = json.loads((tmp_path / f"{digest}.json").read_text())
    assert (told["sha256"], told["path_b64"], told["threat"]) == (digest, "L3Nydi//", "Test.File")


def test_the_bare_content(tmp_path: Path) -> None:
    """As it was; nobody can execute it."""
    export_raw(entry_of(BAD), [BAD], os.fsencode(tmp_path / "raw"))
    assert (tmp_path / "raw").read_bytes() == BAD
    assert (tmp_path / "raw").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("export", [export_raw, export_zip])
def test_nothing_is_replaced(tmp_path: Path, export: type) -> None:
    """A file of that name stays what it is."""
    (tmp_path / "there").write_text("old")
    with pytest.raises(NotExported, match="is there already: name another file"):
        export(entry_of(BAD), [BAD], os.fsencode(tmp_path / "there"))
    assert (tmp_path / "there").read_text() == "old"


@pytest.mark.parametrize("export", [export_raw, export_zip])
def test_of_a_damaged_one_there_is_nothing(tmp_path: Path, export: type) -> None:
    """Not even the part before the damage."""
    with quarantine(tmp_path) as opened:
        id = take(opened, bad_file(tmp_path / "file", os.urandom(2 * PIECE_BYTES))).entry
        sealed = tmp_path / "quarantine" / f"{id}.sealed"
        os.truncate(sealed, sealed.stat().st_size - 1)
        with pytest.raises(Damaged), opened.opened(id) as (entry, content):
            export(entry, content, os.fsencode(tmp_path / "out"))
    assert os.listdir(tmp_path) == ["quarantine"]
