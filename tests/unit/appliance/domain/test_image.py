"""Images as those who ask."""

from appliance.domain.guest import PUBLIC_SCOPE
from appliance.domain.image import ImageCounts, asker_of, is_image


def test_an_image_is_no_guest_and_has_the_turns_of_one() -> None:
    """Its name is that of nobody else."""
    asker = asker_of("0123", PUBLIC_SCOPE, "")
    assert is_image(asker.id)
    assert not is_image("uid-0.pid-1")
    assert not is_image("6695eb01-f6a4-8304-79aa-97f2502e193f")
    assert asker.owner.scope == PUBLIC_SCOPE


def test_counts_are_told_in_one_line() -> None:
    """For the event."""
    assert str(ImageCounts(1000, 5, 1, 2, 3, 4)) == (
        "1,000 files, 1 malicious, 2 suspicious, 3 without a verdict, 4 sent"
    )
