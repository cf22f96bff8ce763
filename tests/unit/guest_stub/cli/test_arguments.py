"""Tests of the command line."""

import argparse
import re
from pathlib import Path

import pytest

from guest_stub.cli.arguments import duration, parse, path, rate, size, target
from guest_stub.version import VERSION


def test_every_option_of_a_scan_is_read() -> None:
    """What is typed is what comes out."""
    options = parse(
        [
            "scan", "/a", "b", "--json", "--all", "--exclude", "*.iso", "--exclude", "/x/*", "-x",
            "--max-size", "100M", "--idle", "--rate", "2.5", "--no-progress", "--svm", "tcp:h:1",
            "--state", "/s", "--config", "/c", "--patience", "2h",
        ]
    )  # fmt: skip
    assert vars(options) == {
        "command": "scan", "paths": ["/a", "b"], "json": True, "all": True, "exclude": ["*.iso", "/x/*"],
        "one_file_system": True, "max_size": 100 << 20, "idle": True, "rate": 2.5e6, "no_progress": True,
        "patience": 7200.0,
        "svm": "tcp:h:1", "state": Path("/s"), "config": Path("/c"),
    }  # fmt: skip


def test_every_option_of_ksn_is_read() -> None:
    """What is typed is what comes out."""
    assert vars(parse(["ksn", "--json", "--svm", "tcp:h:1"])) == {
        "command": "ksn", "json": True, "svm": "tcp:h:1", "state": None, "config": None,
    }  # fmt: skip


def test_every_option_of_check_url_is_read() -> None:
    """What is typed is what comes out."""
    assert vars(parse(["check-url", "a", "b", "--json"])) == {
        "command": "check-url", "urls": ["a", "b"], "json": True, "svm": None, "state": None, "config": None,
    }  # fmt: skip


def test_help_on_ksn_has_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """That an answer is code 0, whatever it is, has to be said."""
    with pytest.raises(SystemExit):
        parse(["ksn", "--help"])
    assert "0  the SVM answered, whatever it said" in capsys.readouterr().out


def test_defaults_leave_the_rest_to_the_configuration() -> None:
    """Without options nothing is set."""
    options = parse(["scan", "/a"])
    assert (options.svm, options.state, options.config, options.rate) == (None, None, None, None)
    assert options.exclude == []


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("512", 512), ("1k", 1024), ("100M", 100 << 20), ("2GiB", 2 << 30), ("1TB", 1 << 40)],
)
def test_sizes_have_units(text: str, number: int) -> None:
    """Powers of 1024, in any case."""
    assert size(text) == number


@pytest.mark.parametrize("text", ["", "-1", "1.5M", "M", "10X", "9" * 30])
def test_what_is_no_size_is_refused(text: str) -> None:
    """With the forms that are."""
    with pytest.raises(argparse.ArgumentTypeError, match="is no size: write bytes"):
        size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("5s", 5), ("15m", 900), ("2H", 7200), ("1d", 86_400), ("30d", 2_592_000)],
)
def test_times_have_units(text: str, seconds: float) -> None:
    """Seconds where none is said."""
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5h", "2w", "31d", "9" * 30])
def test_what_is_no_time_is_refused(text: str) -> None:
    """Also one of which nobody would see the end."""
    with pytest.raises(argparse.ArgumentTypeError, match="is no time: write seconds"):
        duration(text)


@pytest.mark.parametrize("text", ["", "0", "-1", "nan", "inf", "fast"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    """Also numbers that would never end or never begin."""
    with pytest.raises(argparse.ArgumentTypeError, match="is no rate: write MB/s"):
        rate(text)


def test_an_empty_path_is_refused() -> None:
    """A variable that is not set does not mean the current directory."""
    with pytest.raises(argparse.ArgumentTypeError, match="PATH is empty"):
        path("")
    assert path("a") == "a"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:/a", "unix:/a"),
        ("tcp:h:1", "tcp:h:1"),
        ("/run/svm.sock", "unix:/run/svm.sock"),
        ("/run/a:b", "unix:/run/a:b"),
        ("./a:b", f"unix:{Path.cwd()}/a:b"),
    ],
)
def test_a_socket_may_be_named_by_its_path(text: str, address: str) -> None:
    """What is no address is taken for a path."""
    assert target(text) == address


@pytest.mark.parametrize("text", ["", "http://x", "10.0.0.1:7443", "svm:7443", "[::1]:7443"])
def test_what_is_no_target_is_not_taken_for_a_path(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Else no SVM would be found at a socket that nobody has meant."""
    with pytest.raises(SystemExit) as ended:
        parse(["status", "--svm", text])
    assert ended.value.code == 2
    assert f"{text!r} is no target: give unix:/PATH, tcp:HOST:PORT or a path" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [[], ["scan"], ["scan", ""], ["sweep"], ["scan", "/a", "--max-size", "big"], ["scan", "/a", "--bogus"]],
)
def test_a_wrong_command_line_ends_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """One usage message, and the code of errors."""
    with pytest.raises(SystemExit) as ended:
        parse(words)
    assert ended.value.code == 2
    assert "usage: guest-stub" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--help"], ["scan", "--help"]])
def test_help_has_examples_and_exit_codes(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What a person looks for first."""
    with pytest.raises(SystemExit) as ended:
        parse(words)
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "examples:" in said
    assert "exit codes:" in said


def test_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Program and number."""
    with pytest.raises(SystemExit) as ended:
        parse(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"guest-stub {VERSION}\n"


def test_the_manual_page_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    """docs/man/guest-stub.1 is complete."""
    page = (Path(__file__).parents[4] / "docs" / "man" / "guest-stub.1").read_text().replace("\\-", "-")
    with pytest.raises(SystemExit):
        parse(["scan", "--help"])
    options = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    assert len(options) > 10
    assert {option for option in options if option not in page} == set()
