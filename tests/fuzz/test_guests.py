"""Every message a guest can send, in any order, to a living SVM."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.steps import Step, stories
from tests.fuzz.watched import watched_svm


@pytest.mark.hypothesis
def test_whatever_guests_do_the_svm_lives_and_serves_the_one_beside_them(tmp_path: Path) -> None:
    """Every call ends as guest.proto says, nothing fails inside, nothing is left when they have gone."""
    with watched_svm(tmp_path) as play:

        @settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
        @given(stories())
        def tell(story: list[Step]) -> None:
            play(story)

        tell()
