"""How often the holder of a key may ask."""

from appliance.private_ksn.rate import Rates


def test_a_second_fills_the_bucket_and_one_name_does_not_empty_anothers() -> None:
    """Two a second: two at once, none, and one more after half a second."""
    now = 100.0
    rates = Rates(2, lambda: now)
    assert [rates.admit("a") for _ in range(3)] == [True, True, False]
    assert rates.admit("b")
    now += 0.5
    assert [rates.admit("a") for _ in range(2)] == [True, False]
    now += 100
    assert [rates.admit("a") for _ in range(3)] == [True, True, False]
