"""Whom a certificate names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.domain.caller import Caller, Role
from appliance.identity.names import BadName, is_uuid, named_by, uri_of

UUID = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
HOLDERS = {
    f"kvm-light-agent://guest/acme/{UUID}": Caller(UUID, Role.GUEST, "acme"),
    "kvm-light-agent://administrator/provider/paula": Caller("paula", Role.PROVIDER),
    "kvm-light-agent://administrator/auditor/otto": Caller("otto", Role.AUDITOR),
    "kvm-light-agent://administrator/auditor/acme/otto": Caller("otto", Role.AUDITOR, "acme"),
    "kvm-light-agent://administrator/tenant-admin/acme/anna": Caller("anna", Role.TENANT_ADMIN, "acme"),
    "kvm-light-agent://host-agent/h.1_2-3": Caller("h.1_2-3", Role.HOST_AGENT),
    "kvm-light-agent://svm/one": Caller("one", Role.SVM),
}


@pytest.mark.parametrize("uri", HOLDERS)
def test_a_holder_is_named_by_one_uri(uri: str) -> None:
    """There and back."""
    assert named_by(uri) == HOLDERS[uri]
    assert uri_of(HOLDERS[uri]) == uri


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "kvm-light-agent://",
        "kvm-light-agent://guest/acme",
        "kvm-light-agent://guest//" + UUID,
        f"kvm-light-agent://guest/acme/{UUID.upper()}",
        f"kvm-light-agent://guest/acme/{UUID}/",
        f"kvm-light-agent://guest/acme/{UUID}?x",
        f"guest/acme/{UUID}",
        f"https://guest/acme/{UUID}",
        f"KVM-LIGHT-AGENT://guest/acme/{UUID}",
        "kvm-light-agent://administrator/provider/acme/paula",
        "kvm-light-agent://administrator/tenant-admin/anna",
        "kvm-light-agent://administrator/guest/acme/anna",
        "kvm-light-agent://administrator/svm/one",
        "kvm-light-agent://administrator/root/paula",
        "kvm-light-agent://administrator/provider//paula",
        "kvm-light-agent://provider/paula",
        "kvm-light-agent://svm/acme/one",
        "kvm-light-agent://host-agent/",
        "kvm-light-agent://host-agent/..%2f",
    ],
)
def test_what_is_no_such_uri_names_nobody(uri: str) -> None:
    """Nor another role than it seems to."""
    with pytest.raises(BadName):
        named_by(uri)


@pytest.mark.parametrize(
    "name",
    ["", "a/b", "..", ".a", "-a", "a b", "ä", "a\n", "a\0", "a" * 65, "uid-0", "ip-1", "\udc80", "a%2f"],
)
def test_a_strange_name_is_given_to_nobody(name: str) -> None:
    """Nor that of a caller without a certificate; nor as a tenant's, where it is none."""
    with pytest.raises(BadName, match="is no name"):
        uri_of(Caller(name, Role.PROVIDER))
    if not name.startswith(("uid-", "ip-", ".", "-")) and name:
        with pytest.raises(BadName, match="tenant"):
            uri_of(Caller("anna", Role.TENANT_ADMIN, name))


@pytest.mark.parametrize(
    ("holder", "why"),
    [
        (Caller("paula", Role.PROVIDER, "acme"), "a provider is of all tenants"),
        (Caller("anna", Role.TENANT_ADMIN), "a tenant-admin is of one tenant"),
        (Caller("h", Role.HOST_AGENT, "acme"), "a host-agent is of no tenant"),
        (Caller("s", Role.SVM, "acme"), "an svm is of no tenant"),
        (Caller(UUID, Role.GUEST), "a guest is of a tenant"),
        (Caller("vm", Role.GUEST, "acme"), "no UUID"),
    ],
)
def test_a_role_and_a_tenant_have_to_go_together(holder: Caller, why: str) -> None:
    """Each with a sentence."""
    with pytest.raises(BadName, match=why):
        uri_of(holder)


@given(st.text(max_size=300))
def test_no_text_is_more_than_a_bad_name(text: str) -> None:
    """Whatever it is: it names nobody, or exactly who is written like that."""
    for uri in (text, f"kvm-light-agent://{text}", f"kvm-light-agent://administrator/{text}"):
        try:
            holder = named_by(uri)
        except BadName:
            continue
        assert uri_of(holder) == uri


def test_a_uuid_is_written_in_one_way() -> None:
    """In small letters, with hyphens."""
    assert is_uuid(UUID)
    assert not any(
        map(is_uuid, (UUID.upper(), UUID.replace("-", ""), "{" + UUID + "}", "urn:uuid:" + UUID, ""))
    )
