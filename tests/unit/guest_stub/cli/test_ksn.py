"""Tests of `guest-stub ksn`."""

import json
from pathlib import Path

import grpc
import pytest
from lightagent.v1 import verdict_pb2
from lightagent.v1.verdict_pb2 import KsnParticipation

from guest_stub.cli.arguments import parse
from guest_stub.cli.ksn import ksn
from guest_stub.cli.setup import prepare
from guest_stub.svm_link.link import SvmUnreachable
from tests.support.guest_side_server import Behaviour, serving

RESTRICTED = KsnParticipation(
    state=verdict_pb2.KSN_STATE_RESTRICTED,
    type=verdict_pb2.KSN_TYPE_PRIVATE,
    mode=verdict_pb2.KSN_MODE_STANDARD,
    reasons=[verdict_pb2.KSN_REASON_QUOTA_SPENT, verdict_pb2.KSN_REASON_NEWER_STATEMENT],
    sentences=["The quota is spent.", "There is a newer Statement."],
    statement_accepted=1,
    statement_in_force=2,
)


async def told(directory: Path, behaviour: Behaviour, *words: str) -> list[str]:
    """The lines that are said; the exit code is 0."""
    lines: list[str] = []
    async with serving(directory / "svm.sock", behaviour) as server:
        options = parse(["ksn", *words, "--svm", server.target])
        assert await ksn(prepare(options, {}), options.json, lines.append) == 0
    return lines


async def test_a_restricted_ksn(tmp_path: Path) -> None:
    """State, type, mode, Statements and every reason, in words."""
    assert await told(tmp_path, Behaviour(ksn=RESTRICTED)) == [
        f"svm: unix:{tmp_path}/svm.sock",
        "ksn: enabled with restrictions",
        "type: private: in your network, or at a service provider",
        "mode: standard: digests and addresses that are asked about, and usage statistics",
        "statement: version 1 accepted, version 2 in force",
        "reason: The quota is spent.",
        "reason: There is a newer Statement.",
    ]


async def test_an_enabled_ksn(tmp_path: Path) -> None:
    """Nothing stands where a reason would."""
    enabled = KsnParticipation(
        state=verdict_pb2.KSN_STATE_ENABLED,
        type=verdict_pb2.KSN_TYPE_GLOBAL,
        mode=verdict_pb2.KSN_MODE_EXTENDED,
        statement_accepted=3,
        statement_in_force=3,
    )
    assert (await told(tmp_path, Behaviour(ksn=enabled)))[1:] == [
        "ksn: enabled",
        "type: global: hosted by its vendor",
        "mode: extended: also files and parts of files, as the Statement lists them",
        "statement: version 3 accepted, version 3 in force",
    ]


async def test_a_ksn_that_is_off(tmp_path: Path) -> None:
    """The reason is shown, and no type and mode, which none are."""
    assert (await told(tmp_path, Behaviour()))[1:] == [
        "ksn: off: nothing is sent",
        "statement: none accepted",
        "reason: the provider has not enabled KSN",
    ]


async def test_words_of_a_newer_svm(tmp_path: Path) -> None:
    """What this stub has no word for is said to be so; a reason without a sentence has its word."""
    newer = KsnParticipation.FromString(b"\x08\x63\x10\x63\x18\x63\x22\x02\x63\x07")
    unknown = "unknown: the SVM is newer than this guest-stub"
    assert (await told(tmp_path, Behaviour(ksn=newer)))[1:] == [
        f"ksn: {unknown}",
        f"type: {unknown}",
        f"mode: {unknown}",
        "statement: none accepted",
        "reason: unknown",
        "reason: quota spent",
    ]


async def test_the_svms_words_do_nothing_to_a_terminal(tmp_path: Path) -> None:
    """Controls in a sentence are escaped, in both forms of output."""
    said = KsnParticipation(
        state=verdict_pb2.KSN_STATE_OFF,
        reasons=[verdict_pb2.KSN_REASON_NOT_ACCEPTED],
        sentences=["\x1b[2Jall\nis well\u202e"],
    )
    lines = await told(tmp_path, Behaviour(ksn=said))
    assert lines[-1] == r"reason: \x1b[2Jall\x0ais well\u202e"
    [line] = await told(tmp_path, Behaviour(ksn=said), "--json")
    assert line.isprintable()
    assert line.isascii()


async def test_json(tmp_path: Path) -> None:
    """One object has all of it; type and mode are null where none is in force."""
    [line] = await told(tmp_path, Behaviour(ksn=RESTRICTED), "--json")
    assert json.loads(line) == {
        "type": "ksn",
        "svm": f"unix:{tmp_path}/svm.sock",
        "state": "restricted",
        "ksn_type": "private",
        "ksn_mode": "standard",
        "reasons": [
            {"word": "quota spent", "sentence": "The quota is spent."},
            {"word": "newer statement", "sentence": "There is a newer Statement."},
        ],
        "statement_accepted": 1,
        "statement_in_force": 2,
    }
    [line] = await told(tmp_path, Behaviour(), "--json")
    assert (json.loads(line)["ksn_type"], json.loads(line)["ksn_mode"]) == (None, None)


async def test_an_old_svm_is_no_answer(tmp_path: Path) -> None:
    """What the program turns into a line and code 2 is raised, and nothing is said before."""
    with pytest.raises(SvmUnreachable, match="older than this guest-stub"):
        await told(tmp_path, Behaviour(abort_ksn=(grpc.StatusCode.UNIMPLEMENTED, "no such method")))
