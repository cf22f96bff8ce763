"""Tests of `guest-stub check-url`."""

import json
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from lightagent.v1 import guest_pb2, verdict_pb2

from guest_stub.cli.arguments import parse
from guest_stub.cli.check_url import check_url
from guest_stub.cli.setup import prepare
from tests.support.guest_side_server import Behaviour, serving

BAD = guest_pb2.CheckUrlReply(
    outcome=guest_pb2.URL_OUTCOME_MALICIOUS,
    threat="Trojan\x1b",
    category="Malware",
    matched="host",
    source=verdict_pb2.SOURCE_KSN,
    valid_for=Duration(seconds=60),
)
LISTED = guest_pb2.CheckUrlReply(
    outcome=guest_pb2.URL_OUTCOME_SUSPICIOUS, matched="list", reason="it stands in bad.txt"
)
CLEAN = guest_pb2.CheckUrlReply(outcome=guest_pb2.URL_OUTCOME_CLEAN, matched="url")
NO_URL = guest_pb2.CheckUrlReply(outcome=guest_pb2.URL_OUTCOME_NO_URL, reason="no host")
NEWER = guest_pb2.CheckUrlReply.FromString(b"\x08\x63")
SAID = {"bad": BAD, "listed": LISTED, "clean": CLEAN, "no": NO_URL, "newer": NEWER}


async def run(directory: Path, *words: str) -> tuple[int, list[str]]:
    """The exit code and the lines."""
    lines: list[str] = []
    async with serving(directory / "svm.sock", Behaviour(urls=dict(SAID))) as server:
        options = parse(["check-url", *words, "--svm", server.target])
        code = await check_url(prepare(options, {}), options.urls, options.json, lines.append)
    return code, lines


async def test_a_line_for_each(tmp_path: Path) -> None:
    """In order, with what more there is to say, and nothing that does something to a terminal."""
    code, lines = await run(tmp_path, "bad", "listed", "clean", "other")
    assert code == 1
    assert lines == [
        r"bad: malicious (Trojan\x1b; Malware; known by its host)",
        "listed: suspicious (known by a list; it stands in bad.txt)",
        "clean: clean (known by its url)",
        "other: unknown (KSN does not know it)",
    ]


@pytest.mark.parametrize(
    ("urls", "code"),
    [
        (["clean", "other"], 0),
        (["other", "bad", "no"], 1),
        (["listed"], 1),
        (["clean", "no"], 2),
        (["x" * 9000], 2),
        (["\udc80"], 2),
        (["newer"], 0),
    ],
)
async def test_exit_codes(tmp_path: Path, urls: list[str], code: int) -> None:
    """A find wins over an error; what a newer SVM says is unknown."""
    assert (await run(tmp_path, *urls))[0] == code


async def test_json(tmp_path: Path) -> None:
    """One object a line; what has nothing to say is left out."""
    _, lines = await run(tmp_path, "bad", "newer", "--json")
    assert [json.loads(line) for line in lines] == [
        {
            "type": "url",
            "url": "bad",
            "outcome": "malicious",
            "threat": "Trojan\x1b",
            "category": "Malware",
            "matched": "host",
            "source": "ksn",
            "valid_for": 60.0,
        },
        {"type": "url", "url": "newer", "outcome": "unknown"},
    ]
