"""Tests of appliance/scanning/company.py."""

from appliance.domain.guest import Owner
from appliance.scanning.company import HERE_SECONDS, MOST_HEARD, Company


class Clock:
    """Time that the test moves."""

    now = 100.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


def test_who_asks_alone_has_no_company() -> None:
    """However often; and where nobody has asked, nobody is here."""
    company = Company(Clock())
    assert not company.of_guest("a")
    for _ in range(3):
        company.note(Owner(16, "a"))
    assert not company.of_guest("a")
    assert company.of_guest("b")


def test_another_guest_is_company_for_a_while() -> None:
    """Of its own tenant, and where it is another's, for the tenant as well."""
    clock = Clock()
    company = Company(clock)
    company.note(Owner(16, "a"))
    company.note(Owner(16, "b"))
    assert company.of_guest("a")
    assert company.of_guest("b")
    assert not company.of_tenant(16)
    company.note(Owner(17, "c"))
    assert company.of_tenant(16)
    assert company.of_tenant(17)
    clock.now += HERE_SECONDS / 2
    company.note(Owner(17, "c"))
    clock.now += HERE_SECONDS / 2
    assert company.of_tenant(16)
    assert not company.of_guest("c")
    assert not company.of_tenant(17)


def test_others_are_counted() -> None:
    """Each once, however often it asks; of guests without end the latest are remembered."""
    company = Company(Clock())
    for name in "abcab":
        company.note(Owner(16, name))
    assert (company.others("a"), company.others("d")) == (2, 3)
    for number in range(2 * MOST_HEARD):
        company.note(Owner(16, str(number)))
    assert company.others("a") == MOST_HEARD
