"""The port to a reputation service."""

from appliance.domain.policy import Mode
from appliance.ksn.reputation import Call, Part, ReputationError, Request, Trouble


def test_an_error_has_a_kind_for_programs_and_a_sentence_for_people() -> None:
    """Both come out as they were put in."""
    error = ReputationError(Trouble.QUOTA, "the quota is spent")
    assert (error.trouble, str(error)) == (Trouble.QUOTA, "the quota is spent")


def test_content_is_not_printed() -> None:
    """Who logs a request does not log what a file holds."""
    request = Request(Call.SUBMIT, Mode.EXTENDED, (), Part(b"d" * 32, 0, b"the content"))
    assert "the content" not in repr(request)
