"""Software and threats keep their names on the whole way: from a Private KSN's feeds to whoever asks."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from tests.integration import test_private_ksn as private
from tests.support.commands import Ran, svm_program
from tests.support.stub_program import Ended, guest_stub
from tests.support.svm_process import SvmProcess, svm_process

CONTENT, OTHER = b"MZ the setup of a program that NSRL lists", b"MZ another file of it"
DIGEST, OTHERS = sha256(CONTENT).hexdigest(), sha256(OTHER).hexdigest()
PROGRAM = "Toolbar 2.1 (Acme)"
URL = "http://games.example/play"


def rds(path: Path) -> None:
    """An NSRL RDSv3 minimal database with both files in it."""
    with closing(sqlite3.connect(path)) as made:
        made.executescript(
            f"""
            CREATE TABLE FILE(sha256, sha1, md5, crc32, file_name, file_size, package_id);
            CREATE TABLE PKG(package_id, name, version, operating_system_id, manufacturer_id, language,
                             application_type);
            CREATE TABLE MFG(manufacturer_id, name);
            INSERT INTO FILE VALUES ('{DIGEST.upper()}', '', '', '', 'setup.exe', {len(CONTENT)}, 7);
            INSERT INTO FILE VALUES ('{OTHERS.upper()}', '', '', '', 'other.exe', {len(OTHER)}, 7);
            INSERT INTO PKG VALUES (7, 'Toolbar', '2.1', 1, 3, 'English', 'Utility');
            INSERT INTO MFG VALUES (3, 'Acme');
            """
        )


@dataclass
class Side:
    """A Private KSN and an SVM that asks it, as processes."""

    directory: Path
    process: SvmProcess

    def say(self, *words: object) -> None:
        """A command of `private-ksn`."""
        private.command(self.directory, *words)

    def svm(self, *words: object) -> Ran:
        """A command of `svm`."""
        ran = svm_program(*words, "--socket", self.process.directory / "admin.sock")
        assert ran.code in (0, 1), ran.err
        return ran

    def stub(self, *words: object) -> Ended:
        """A command of `guest-stub`."""
        state = ("--state", self.directory / "decisions") if words[0] == "scan" else ()
        return asyncio.run(guest_stub(*map(str, words), "--svm", self.process.target, *map(str, state)))


@pytest.fixture
def side(tmp_path: Path) -> Iterator[Side]:
    """With NSRL imported, and the usual tenant taking part."""
    with private.served(tmp_path) as serving:
        assert serving.stderr is not None
        port = serving.stderr.readline().partition("[")[2].partition("]")[0]
        rds(tmp_path / "rds.db")
        private.command(tmp_path, "import", "nsrl", tmp_path / "rds.db")
        (tmp_path / "key").write_text(private.KEY)
        (tmp_path / "svm").mkdir()
        ksn = f"""
[ksn]
enabled = true
type = "private"
endpoint = "http://127.0.0.1:{port}/api/v1/"
api_key_file = "{tmp_path}/key"
"""
        with svm_process(tmp_path / "svm", ksn) as process:
            made = Side(tmp_path, process)
            made.svm("policy", "create", "--ksn", "accept", "--statement", "1")
            (tmp_path / "files").mkdir()
            (tmp_path / "files" / "setup.exe").write_bytes(CONTENT)
            yield made


def test_a_file_that_nsrl_knows_is_named_in_every_zone(side: Side) -> None:
    """Grey decides nothing and names the program; Yellow has it in the verdict, and the guest is told."""
    for subject in (DIGEST, side.directory / "files" / "setup.exe"):
        shown = side.svm("ksn", "lookup", subject).out
        assert "zone      Grey" in shown
        assert f"program   {PROGRAM}\ncategory  Utility\n" in shown

    side.say("set", OTHERS, "--zone", "yellow", "--threat", "Unwanted.Toolbar", "--category", "Adware")
    (side.directory / "files" / "other.exe").write_bytes(OTHER)
    first = side.stub("scan", "--json", side.directory / "files")
    again = side.stub("scan", "--json", side.directory / "files")
    for ended in (first, again):
        assert f'"category": "{PROGRAM}, Adware"' in ended.out
        assert '"threat": "Unwanted.Toolbar"' in ended.out
    assert f"category  {PROGRAM}, Adware\n" in side.svm("verdicts", "show", OTHERS).out


def test_an_address_keeps_threat_and_category(side: Side) -> None:
    """Both arrive, each in its own place; the category of a Grey one, too."""
    side.say("set", URL, "--zone", "yellow", "--threat", "Thr", "--category", "gambling")
    shown = side.svm("ksn", "lookup", URL).out
    assert "threat    Thr\ncategory  gambling\n" in shown
    side.say("set", f"{URL}/2", "--zone", "grey", "--category", "games")
    assert "category  games\n" in side.svm("ksn", "lookup", f"{URL}/2").out
    assert '"category": "games"' in side.stub("check-url", "--json", f"{URL}/2").out


def test_what_turned_red_is_kept_under_its_name(side: Side) -> None:
    """The operator's word comes with the change, and is not KSN.Red."""
    side.stub("scan", side.directory / "files")
    seen = ""
    for _ in range(50):  # what changed before it began to follow, it does not hear of
        side.say("set", DIGEST, "--zone", "yellow")
        side.say("set", DIGEST, "--zone", "red", "--threat", "Trojan.Incident-7")
        seen = side.svm("verdicts", "show", DIGEST).out
        if "MALICIOUS" in seen:
            break
    assert "Trojan.Incident-7\n" in seen
    assert f"{PROGRAM}, Utility\n" in seen
