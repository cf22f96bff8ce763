"""Tests of appliance/ksn/obstacle.py."""

from appliance.ksn.obstacle import Obstacle


def test_it_is_told_when_something_comes_and_when_it_is_gone() -> None:
    """Not while another reason takes the place of one, nor while all is well."""
    obstacle = Obstacle()
    told: list[str] = []
    obstacle.on_change = told.append
    for sentence in ("", "nobody there", "nobody there", "it refuses", "", ""):
        obstacle.is_now(sentence)
        assert obstacle.sentence == sentence
    assert told == ["nobody there", ""]
