"""How a question about a digest can end."""

from appliance.domain.outcome import Disposition


def test_a_detection_is_what_somebody_objects_to() -> None:
    """Those two, and nothing that vouches for a file or says nothing of it."""
    detections = {disposition for disposition in Disposition if disposition.is_detection}
    assert detections == {Disposition.MALICIOUS, Disposition.SUSPICIOUS}
