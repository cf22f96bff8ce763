"""What may leave, and the texts that say so."""

import hashlib
from pathlib import Path

import pytest

from appliance.domain.policy import KsnType, Mode
from appliance.ksn.reputation import Call, Part, ReputationError, Request, Subject, Trouble
from appliance.ksn.statement import (
    FIELDS,
    STATEMENTS,
    NoStatement,
    disclosed,
    field_list,
    fields_of,
    first_unprintable,
    handed_over,
    placed,
    request_for,
    shown_hash,
    shown_text,
    statement,
    statistics,
    submission,
    text_hash,
    version_in_force,
)

PART = Part(b"d" * 32, 4096, b"the content")


@pytest.mark.parametrize("ksn_type", list(KsnType))
def test_the_statement_in_force_lists_what_the_code_can_send(ksn_type: KsnType) -> None:
    """A field that is added or changed needs a new version of the text."""
    assert field_list() in statement(ksn_type, version_in_force(ksn_type)).text


def test_every_field_is_listed_once() -> None:
    """Name, call, words, and how long it is kept."""
    lines = field_list().splitlines()
    for field in FIELDS:
        for call in field.calls:
            assert lines.count(f"- {call}: {field.name}: {field.words}; kept {field.kept}") == 1


def test_every_version_there_was_can_be_shown() -> None:
    """Each text is there, and is what its hash says."""
    for ksn_type, version, sha256 in STATEMENTS:
        shown = statement(ksn_type, version)
        assert (shown.sha256, text_hash(shown.text)) == (sha256, sha256)


def test_the_texts_of_the_types_differ() -> None:
    """Whoever accepts one has not accepted the other."""
    assert statement(KsnType.GLOBAL, 1).sha256 != statement(KsnType.PRIVATE, 1).sha256


def test_a_hash_is_of_the_words_and_not_of_their_line_ends() -> None:
    """A copy that was through another system's editor is the same text; one with another word is not."""
    assert text_hash("We send nothing.\r\nEver. \r\n\r\n") == text_hash("We send nothing.\nEver.\n")
    assert text_hash("We send nothing.\n") != text_hash("We send something.\n")


def test_a_version_that_never_was_is_told_so() -> None:
    """With those that there are."""
    with pytest.raises(NoStatement, match="no version 99 of the global Statement: there is 1"):
        statement(KsnType.GLOBAL, 99)


def test_standard_mode_has_no_query_string() -> None:
    """It is left out, and in extended mode it stands behind the URL."""
    subject = Subject(Call.URL, "http://example.com/x", "a=b")
    assert placed(request_for(subject, Mode.STANDARD)) == {"query request": "http://example.com/x"}
    assert placed(request_for(subject, Mode.EXTENDED)) == {"query request": "http://example.com/x?a=b"}


@pytest.mark.parametrize("call", [Call.HASH, Call.URL, Call.DOMAIN, Call.IP])
def test_look_ups_send_what_is_asked_about_and_nothing_else(call: Call) -> None:
    """One field in standard mode."""
    request = request_for(Subject(call, "value"), Mode.STANDARD)
    assert placed(request) == {"query request": "value"}
    assert list(disclosed(request)) == [fields_of(call, Mode.STANDARD)[0].name]


def test_content_leaves_in_extended_mode_only() -> None:
    """Neither a submission nor the question for its result can be made in standard mode."""
    assert placed(submission(PART, Mode.EXTENDED)) == {"query filename": (b"d" * 32).hex()}
    with pytest.raises(ReputationError) as submitting:
        submission(PART, Mode.STANDARD)
    with pytest.raises(ReputationError) as asking:
        request_for(Subject(Call.RESULT, "value"), Mode.STANDARD)
    assert submitting.value.trouble is asking.value.trouble is Trouble.NOT_ALLOWED


@pytest.mark.parametrize(
    "request_",
    [
        Request(Call.HASH, Mode.EXTENDED, (("digest", "d"), ("path", "/home/bob"))),
        Request(Call.URL, Mode.STANDARD, (("url", "u"), ("query string", "?a"))),
        Request(Call.HASH, Mode.EXTENDED, (("digest", "d"),), PART),
    ],
)
def test_a_request_that_somebody_made_by_hand_is_held_to_the_definition(request_: Request) -> None:
    """A field that the call or the mode does not have has no place."""
    with pytest.raises(ReputationError, match="the Statement does not have"):
        placed(request_)


def test_statistics_are_the_figures_of_the_definition() -> None:
    """A figure that is not in it cannot be sent."""
    assert placed(statistics({"period": 3600, "threats found": 2}, Mode.STANDARD)) == {
        "json period": "3600",
        "json detected": "2",
    }
    with pytest.raises(ReputationError, match="users seen"):
        statistics({"users seen": 7}, Mode.STANDARD)


def test_the_ledger_has_content_by_digest_offset_and_length() -> None:
    """The digest is of the part that leaves; the content itself is not there."""
    fields = disclosed(submission(PART, Mode.EXTENDED))
    assert fields == {
        "submitted digest": (b"d" * 32).hex(),
        "content": f"sha256 {hashlib.sha256(b'the content').hexdigest()}, offset 4096, length 11",
    }
    assert "the content" not in str(fields)


def test_what_was_handed_over_can_be_read_back_from_the_ledger() -> None:
    """The digest of the whole, and how much of it left; other fields are refused."""
    assert handed_over(disclosed(submission(PART, Mode.EXTENDED))) == (b"d" * 32, 11)
    with pytest.raises(ValueError, match="not the fields of a submission"):
        handed_over({"digest": "ab" * 32})


def test_the_document_has_the_fields_of_each_call() -> None:
    """docs/ksn.md names them by call and mode, in the order of the definition."""
    text = (Path(__file__).parents[4] / "docs" / "ksn.md").read_text()
    for call in Call:
        standard, extended = (
            ", ".join(field.name for field in fields_of(call, Mode.EXTENDED) if field.mode is mode)
            for mode in Mode
        )
        assert f"| {call} | {standard} | {extended} |".replace("|  |", "| |") in text


def test_names_of_fields_and_places_are_unique_within_a_call() -> None:
    """No value can overwrite another; only the query string shares its place, with the URL it belongs to."""
    for call in Call:
        fields = fields_of(call, Mode.EXTENDED)
        assert len({field.name for field in fields}) == len(fields)
        if call is not Call.URL:
            assert len({field.place for field in fields}) == len(fields)


def test_what_is_shown_is_the_statement_and_the_providers_own_text() -> None:
    """After a blank line and a word that says whose it is; however the provider ended his lines."""
    text = statement(KsnType.GLOBAL, 1).text
    assert shown_text(KsnType.GLOBAL, 1, "") == shown_text(KsnType.GLOBAL, 1, " \n") == text
    shown = shown_text(KsnType.GLOBAL, 1, "\nOurs. \r\nAlways.\n\n")
    assert shown == f"{text}\nFrom the provider:\nOurs.\nAlways.\n"


def test_the_hash_of_what_is_shown_is_of_all_of_it() -> None:
    """A provider's text that changes is another text to decide on."""
    plain, more = shown_text(KsnType.GLOBAL, 1, ""), shown_text(KsnType.GLOBAL, 1, "Ours.")
    assert shown_hash(plain) == statement(KsnType.GLOBAL, 1).sha256
    assert shown_hash(more) == hashlib.sha256(more.encode()).hexdigest() != shown_hash(plain)


@pytest.mark.parametrize("text", ["see\x1b[2J", "gnp\u202etxt", "a\u200bb", "a\u2028b"])
def test_a_text_that_is_not_what_it_looks_like_is_found_out(text: str) -> None:
    """Escapes of a terminal, turned directions, what nobody sees."""
    assert first_unprintable(text).startswith("the character U+")


def test_any_language_is_a_text() -> None:
    """With lines and tabs."""
    assert first_unprintable("Grüße,\n\tžluťoučký, 你好") == ""
