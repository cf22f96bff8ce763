"""Answers in the OpenTIP dialect."""

import contextlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.ksn.opentip_json import clean_name, read_answer, read_changes
from appliance.ksn.reputation import MAX_NAME_BYTES, Answer, Call, Flip, ReputationError, Trouble
from appliance.ksn.zones import Zone
from tests.support.properties import patient


def read(document: Any) -> Answer:
    """The answer that a document gives."""
    return read_answer(json.dumps(document).encode())


def test_a_whole_answer_is_read() -> None:
    """Zone, the worst detection's name, and how often it was met."""
    answer = read(
        {
            "Zone": "Red",
            "FileGeneralInfo": {"FileStatus": "Malware", "HitsCount": 1000, "Size": 68},
            "DetectionsInfo": [
                {"Zone": "Yellow", "DetectionName": "not-a-virus:AdWare"},
                {"Zone": "Red", "DetectionName": "EICAR-Test-File"},
            ],
        }
    )
    assert answer == Answer(Zone.RED, "EICAR-Test-File", "", 1000)


@pytest.mark.parametrize(
    ("document", "zone"),
    [
        ({}, Zone.GREY),
        ({"Zone": "Green"}, Zone.GREEN),
        ({"Zone": None, "FileGeneralInfo": {"FileStatus": "Adware and other"}}, Zone.YELLOW),
        ({"FileGeneralInfo": {"FileStatus": "Clean"}}, Zone.GREEN),
        ({"FileGeneralInfo": {"FileStatus": "No Threats"}}, Zone.GREY),
        ({"FileGeneralInfo": {"FileStatus": ["Clean"]}}, Zone.GREY),
        ({"FileGeneralInfo": "Clean"}, Zone.GREY),
        ({"Zone": "Red", "FileGeneralInfo": {"FileStatus": "Clean"}}, Zone.RED),
    ],
)
def test_the_zone_counts_and_then_the_status(document: Any, zone: Zone) -> None:
    """A section that is missing or of another kind says nothing; saying nothing vouches for nothing."""
    assert read(document).zone is zone


@pytest.mark.parametrize("key", ["DynamicAnalysisResults", "DynamicAnalisysResults"])
def test_both_spellings_of_the_dynamic_analysis_are_read(key: str) -> None:
    """It names the threat where no detection does; a number is no name."""
    entries = [
        {"Zone": "Red", "Threat": 1},
        {"Zone": "Red", "Threat": "2"},
        {"Zone": "Red", "Threat": "Trojan"},
    ]
    assert read({"Zone": "Red", key: {"DynamicDetections": entries}}).threat == "Trojan"


def test_software_is_named_where_the_service_knows_it() -> None:
    """Its program and its category, in every zone: a Grey answer decides nothing and still names it."""
    general = {"ProductName": "Firefox 115 (Mozilla)", "Category": "Browser"}
    answer = read({"Zone": "Grey", "FileGeneralInfo": general})
    assert (answer.program, answer.category) == ("Firefox 115 (Mozilla)", "Browser")
    assert answer.software == "Firefox 115 (Mozilla), Browser"
    assert read({"Zone": "Grey", "FileGeneralInfo": {"ProductName": 7, "Category": []}}).software == ""
    long = read({"FileGeneralInfo": {"ProductName": "é" * 120, "Category": "ü" * 120}})
    assert len(long.software.encode()) <= MAX_NAME_BYTES


def test_the_threat_of_an_address_is_not_its_category() -> None:
    """Our own service lists it there as well, for clients that look nowhere else."""
    detection = [{"Zone": "Yellow", "DetectionName": "Thr"}]
    for names, category in ((["gambling", "Thr"], "gambling"), (["Thr"], "")):
        zoned = [{"Name": name, "Zone": "Yellow"} for name in names]
        for general in ({"Categories": names}, {"Categories": names, "CategoriesWithZone": zoned}):
            answer = read({"Zone": "Yellow", "DetectionsInfo": detection, "UrlGeneralInfo": general})
            assert (answer.threat, answer.category) == ("Thr", category)


def test_a_change_comes_with_its_words() -> None:
    """Threat, category and program where they are said, made safe to print; what is no text is none."""
    entry = {"kind": "hash", "value": "ab" * 32, "zone": "Red"}
    words = {"threat": "Trojan.X\x1b", "category": "Backdoor", "name": "Setup 1"}
    body = {"sequence": 2, "changes": [entry | words, entry | {"threat": 7, "category": None}]}
    flips = read_changes(json.dumps(body).encode(), lost=False).flips
    plain = Flip(Call.HASH, "ab" * 32, Zone.RED)
    assert flips == (replace(plain, threat="Trojan.X", category="Backdoor", program="Setup 1"), plain)


def test_a_change_of_a_long_url_comes_with_its_digest() -> None:
    """A file's digest is its value, and never that."""
    changes = [
        {"kind": kind, "value": "long", "zone": "", "sha256": sum_}
        for kind, sum_ in (("url", "AB" * 32), ("url", 7), ("hash", "ab" * 32))
    ]
    flips = read_changes(json.dumps({"sequence": 3, "changes": changes}).encode(), lost=False).flips
    assert [flip.url_sha256 for flip in flips] == ["ab" * 32, "", ""]


@pytest.mark.parametrize(
    ("count", "hits"),
    [(1000, 1000), ("1000", 1000), ("many", None), (-1, None), (True, None), (1.5, None), ("9" * 40, None)],
)
def test_numbers_are_read_from_strings(count: Any, hits: int | None) -> None:
    """And what is no count is none."""
    assert read({"Zone": "Red", "FileGeneralInfo": {"HitsCount": count}}).hits == hits


def test_the_worst_category_is_kept() -> None:
    """By the zones of the categories; without zones the first one."""
    zoned = [{"Name": "Shopping", "Zone": "Green"}, {"Name": "Phishing", "Zone": "Red"}]
    general = {"Categories": ["Shopping", "Phishing"], "CategoriesWithZone": zoned}
    assert read({"Zone": "Red", "UrlGeneralInfo": general}).category == "Phishing"
    assert read({"Zone": "Green", "DomainGeneralInfo": {"Categories": ["", "News"]}}).category == "News"


@pytest.mark.parametrize(("status", "complete"), [("in progress", False), ("complete", True), (None, True)])
def test_an_analysis_under_way_is_not_complete(status: str | None, complete: bool) -> None:
    """What was submitted may need a while."""
    assert read({"Zone": "Grey", "Status": status}).complete is complete


@pytest.mark.parametrize(
    "body",
    [b"", b'{"Zone":"Re', b"[]", b"1", b"\xff\xfe", b"[" * 100_000, b'{"Zone":"Purple"}', b"9" * 10_000],
)
def test_what_is_no_answer_is_malformed(body: bytes) -> None:
    """Broken JSON, another kind of document, a colour that nobody told us of."""
    with pytest.raises(ReputationError) as caught:
        read_answer(body)
    assert caught.value.trouble is Trouble.MALFORMED


def test_names_cannot_move_a_cursor_or_fill_a_disk() -> None:
    """They are printable, on one line, and bounded."""
    assert clean_name("Tro\x1b[2Jjan\r\n \u202eX") == "Tro [2Jjan X"
    assert len(clean_name("\N{SNOWMAN}" * 1000).encode()) <= MAX_NAME_BYTES
    assert clean_name({"a": 1}) == ""


LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["Red", "Clean"])
NAMES = st.sampled_from(
    [
        "Zone",
        "Status",
        "FileGeneralInfo",
        "UrlGeneralInfo",
        "FileStatus",
        "HitsCount",
        "Categories",
        "CategoriesWithZone",
        "Name",
        "DetectionsInfo",
        "DetectionName",
        "DynamicAnalysisResults",
        "DynamicDetections",
        "Threat",
    ]
)
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=20,
)


@given(st.dictionaries(NAMES, DOCUMENTS) | DOCUMENTS)
@patient
def test_whatever_comes_is_an_answer_or_malformed(document: Any) -> None:
    """Nothing else is raised, and names in an answer can be printed."""
    with contextlib.suppress(ReputationError):
        answer = read(document)
        assert answer.threat.isprintable()
        assert answer.category.isprintable()


@given(st.binary(max_size=60))
@patient
def test_no_bytes_raise_anything_else(body: bytes) -> None:
    """Bytes that are no document end as malformed."""
    with contextlib.suppress(ReputationError):
        read_answer(body)
