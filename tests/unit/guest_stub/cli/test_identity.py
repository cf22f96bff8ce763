"""Tests of `guest-stub identity`."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from guest_stub.cli.arguments import parse
from guest_stub.cli.identity import identity, moment
from guest_stub.cli.setup import Setup, prepare
from guest_stub.svm_link.target import NotEnrolled
from tests.unit.guest_stub.identity.test_kept import SOUND


def setup_in(directory: Path) -> Setup:
    """One whose state is there."""
    (directory / "stub.toml").write_text("")
    words = ["identity", "--state", str(directory / "state"), "--config", str(directory / "stub.toml")]
    return prepare(parse(words), {})


def said(setup: Setup, as_json: bool = False) -> list[str]:
    """Its lines."""
    lines: list[str] = []
    assert identity(setup, as_json, lines.append) == 0
    return lines


def test_it_says_who_this_guest_is(tmp_path: Path) -> None:
    """In lines, and as an object; never the key."""
    setup = setup_in(tmp_path)
    with setup.identity.open() as opened:
        opened.keep(replace(SOUND, tenant="red\x1b[0m"))
    lines = said(setup)
    assert lines[:2] == ["guest: 1111", "tenant: red\\x1b[0m"]
    assert f"ca fingerprint: {SOUND.fingerprint}" in lines
    assert f"ends: {moment(SOUND.ends)}" in lines
    (line,) = said(setup, as_json=True)
    shown = json.loads(line)
    assert (shown["guest"], shown["tenant"], shown["svm"]) == ("1111", "red\x1b[0m", SOUND.svm)
    assert (shown["ca_fingerprint"], shown["ends"], shown["renew_at"]) == (
        SOUND.fingerprint,
        int(SOUND.ends),
        int(SOUND.renew_at),
    )
    assert "key" not in line


def test_one_that_has_run_out_is_said(tmp_path: Path) -> None:
    """With what to do."""
    setup = setup_in(tmp_path)
    with setup.identity.open() as opened:
        opened.keep(replace(SOUND, ends=time.time() - 1))
    assert any(line.endswith(": it has run out: enrol anew") for line in said(setup))


def test_one_who_is_not_enrolled_is_told_so(tmp_path: Path) -> None:
    """With what to do."""
    with pytest.raises(NotEnrolled, match="run: guest-stub enrol"):
        said(setup_in(tmp_path))


def test_a_moment_is_readable() -> None:
    """In UTC."""
    assert moment(0) == "1970-01-01 00:00:00 UTC"
