"""Tests of appliance/scanning/engines/eicar.py."""

from pathlib import Path

import pytest

from appliance.config import EngineSettings
from appliance.domain.verdict import Detection
from appliance.scanning.engines import eicar
from appliance.scanning.engines.content import Content
from tests.support.contents import EICAR

ROOT = Path(__file__).parents[5]


def scan(data: bytes, member: str = "") -> list[Detection]:
    """What the engine says of `data`."""
    return eicar.EicarEngine().scan(Content.of_bytes(data, member=member))


@pytest.mark.parametrize("behind", [b"", b"\n", b"\r\n", b"\x1a", b" \t\r\n\x1a", b" " * (128 - len(EICAR))])
def test_the_test_file_is_detected(behind: bytes) -> None:
    """The 68 characters, alone or with white space up to 128 bytes, are the test file."""
    assert scan(EICAR + behind) == [Detection("Eicar-Test-Signature", "eicar")]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        EICAR[:-1],
        b" " + EICAR,
        EICAR + b"x",
        EICAR + b"\n.",
        EICAR + b" " * (129 - len(EICAR)),
        EICAR.lower(),
        b"rule eicar { strings: $a = '" + EICAR + b"' }",
    ],
)
def test_what_merely_holds_the_string_is_not(data: bytes) -> None:
    """Texts that quote the string, or change it, are not the test file."""
    assert scan(data) == []


def test_the_member_is_named() -> None:
    """A detection inside a container says where."""
    assert scan(EICAR, "a/eicar.com") == [Detection("Eicar-Test-Signature", "eicar", "a/eicar.com")]


def test_it_has_no_signatures_to_read() -> None:
    """The signature is the program itself, so there is no source and nothing to load."""
    built = eicar.build(EngineSettings())
    assert (built.engine, built.sources, dict(built.sections)) == ("eicar", (), {})


def test_our_own_tree_is_not_detected() -> None:
    """The string stands whole in no file of this project, so that scanners leave it alone."""
    whole = [
        path
        for top in ("appliance", "guest_stub", "tests", "docs", "tools")
        for path in (ROOT / top).rglob("*")
        if path.is_file() and path.stat().st_size < 1_000_000 and EICAR in path.read_bytes()
    ]
    assert whole == []
