"""Certificates and guests, as they are known."""

from appliance.domain.identity import Certificate, CertificateState, EnrolledGuest


def test_a_certificate_counts_until_its_end_unless_it_is_ended_before() -> None:
    """What ended it is said for good."""
    certificate = Certificate(b"s", "1", "kvm-light-agent://svm/a", 100, 200)
    assert [certificate.state(now) for now in (0, 199.9, 200)] == [
        CertificateState.GOOD,
        CertificateState.GOOD,
        CertificateState.EXPIRED,
    ]
    revoked = Certificate(b"s", "1", "kvm-light-agent://svm/a", 100, 200, CertificateState.REVOKED)
    assert {revoked.state(now) for now in (0, 500)} == {CertificateState.REVOKED}


def test_a_guests_certificates_are_named_the_newest_first() -> None:
    """Those that there are."""
    assert EnrolledGuest("u", "t", "", b"", 0, b"2", b"3", b"1").certificates == (b"3", b"2", b"1")
    assert EnrolledGuest("u", "t", "", b"", 0, b"2").certificates == (b"2",)
