"""Containers that are damaged or lie, through a real worker in its sandbox."""

import asyncio
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.config import ScanningSettings, UnpackLimits
from appliance.domain.outcome import Unanswered
from appliance.domain.verdict import NoAnswer
from appliance.scanning.result import ScanResult
from appliance.scanning.scanner import Scanner
from tests.fuzz.mutation import mutated
from tests.support import archives
from tests.support.contents import EICAR
from tests.support.properties import fuzzing
from tests.support.scanning import DEADLINE, EICAR_ONLY, scanned

MEMBERS = {"a.txt": b"harmless " * 30, "below/b.com": EICAR}
TESTFILES = Path("/usr/share/clamav-testfiles")  # Debian's package of that name, where somebody has it
LIMITS = UnpackLimits(max_depth=4, max_members=200, max_total_mib=16, max_member_mib=8)
SETTINGS = ScanningSettings(workers=1, worker_memory_mib=256, scan_timeout_seconds=20, unpack=LIMITS)
MAGICS = [
    b"PK\x03\x04",
    b"PK\x01\x02",
    b"PK\x05\x06",
    b"Rar!\x1a\x07",
    b"7z\xbc\xaf\x27\x1c",
    b"\x1f\x8b",
    b"MSCF",
]


def containers() -> dict[str, bytes]:
    """One of each kind, by its name."""
    tar = archives.tarred(MEMBERS)
    inner = archives.zipped(MEMBERS)
    found = {
        "zip": inner,
        "zip, stored": archives.zipped(MEMBERS, zipfile.ZIP_STORED),
        "zip, bzip2": archives.zipped(MEMBERS, zipfile.ZIP_BZIP2),
        "zip, lzma": archives.zipped(MEMBERS, zipfile.ZIP_LZMA),
        "zip in a zip": archives.zipped({"in.zip": inner}),
        "zip behind a program": archives.zipped(MEMBERS, prefix=b"MZ" + bytes(200)),
        "zip under a password": archives.locked_zip(MEMBERS),
        "tar": tar,
        "deb": archives.deb(MEMBERS),
        "rpm": archives.rpm(MEMBERS),
        "rar 4": archives.rar4(MEMBERS),
        "rar 5": archives.rar5(MEMBERS),
        "lha": archives.lha(MEMBERS),
        "cab": archives.cab(MEMBERS),
        "iso": archives.iso(MEMBERS),
        "7z": archives.seven_zip(MEMBERS),
        "cpio, old": archives.binary_cpio(MEMBERS, "little"),
        **{form: archives.written(MEMBERS, form) for form in ("cpio_newc", "ar_svr4", "xar", "warc")},
        **{f"tar.{how}": archives.compressed(tar, how) for how in archives.COMPRESSORS},
    }
    if TESTFILES.is_dir():
        found |= {path.name: path.read_bytes() for path in TESTFILES.iterdir() if path.is_file()}
    return found


@contextmanager
def scanning() -> Iterator[tuple[Callable[[bytes], ScanResult], Scanner]]:
    """What scans a content with the real workers, and the scanner that it does so with."""
    with asyncio.Runner() as runner:
        scanner = runner.run(asyncio.wait_for(Scanner.start(SETTINGS, EICAR_ONLY), DEADLINE))
        try:
            yield lambda data: runner.run(scanned(scanner, data)), scanner
        finally:
            runner.run(scanner.close())


def is_declared(reason: NoAnswer) -> bool:
    """Whether it is one of the ends that unpacking promises, and no failure of the program's."""
    if reason.why is Unanswered.ENGINE_ERROR:
        return "could not be unpacked: " in reason.reason and reason.reason.isprintable()
    return reason.why in {Unanswered.TOO_LARGE, Unanswered.ENCRYPTED}


@pytest.mark.hypothesis
def test_a_damaged_container_breaks_no_worker() -> None:
    """It is answered in time: a detection, nothing, or a reason, and the next content is seen as ever."""
    seeds = containers()
    with scanning() as (scan, scanner):
        sound = {name: scan(data) for name, data in seeds.items()}
        assert sum(bool(result.detections) for result in sound.values()) > len(sound) // 2, sound

        @settings(fuzzing, max_examples=500)
        @given(mutated(st.sampled_from(list(seeds.values())), MAGICS))
        def look(data: bytes) -> None:
            result = scan(data)
            figures = scanner.figures()
            assert (figures["worker_crashes"], figures["worker_timeouts"]) == (0, 0), result
            if result.no_answer is not None:
                assert is_declared(result.no_answer), result

        look()
        assert scan(EICAR).detections
