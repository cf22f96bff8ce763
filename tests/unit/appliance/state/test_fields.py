"""Records' fields as the domain's types; every table with records of no sense: tests/fuzz/test_state.py."""

from pathlib import Path
from typing import Any

import pytest

from appliance.domain.identity import Certificate, CertificateState
from appliance.domain.override import Override
from appliance.state.environment import StateDamaged
from appliance.state.fields import key_after, made_of, meaning, number_of, numbered, scope_of, tenant_of

PATH = Path("/var/lib/x/state.lmdb")
SOUND: dict[str, Any] = {"allow": True, "reason": "r", "author": "a", "set_at": 5}


def test_each_field_is_made_of_what_the_record_says() -> None:
    """Bytes of hexadecimal digits, words of an enumeration; what may be absent is as the type has it."""
    assert made_of(Override, SOUND) == Override(True, "r", "a", 5)
    fields = {"serial": "1", "holder": "h", "issued_at": 1, "ends_at": 2.5}
    sound = Certificate(b"\x01", "1", "h", 1, 2.5)
    assert made_of(Certificate, fields, sha256=b"\x01") == sound
    ended = made_of(Certificate, fields | {"ended": "cloned"}, sha256=b"\x01")
    assert ended.ended is CertificateState.CLONED


@pytest.mark.parametrize(
    "fields",
    [
        {"allow": 1},
        {"allow": None},
        {"reason": 5},
        {"reason": "\ud800"},
        {"set_at": "5"},
        {"set_at": True},
        {"set_at": -62_135_596_801},
        {"set_at": 253_402_300_800},
        {"set_at": float("nan")},
        {"another": 1},
    ],
)
def test_a_field_of_another_kind_is_damage(fields: dict[str, Any]) -> None:
    """The error names the file and says what the record should be."""
    said = r"/var/lib/x/state.lmdb is damaged \(an override has no meaning"
    with pytest.raises(StateDamaged, match=said), meaning(PATH, "an override"):
        made_of(Override, SOUND | fields)


@pytest.mark.parametrize("missing", sorted(SOUND))
def test_a_field_that_is_missing_is_damage(missing: str) -> None:
    """Where it has to be there."""
    with pytest.raises(StateDamaged), meaning(PATH, "an override"):
        made_of(Override, {name: said for name, said in SOUND.items() if name != missing})


def test_scopes_numbers_and_names_have_bounds() -> None:
    """Scopes are those of tenants, names those of `is_tenant`."""
    assert (scope_of({"scope": 16}), number_of("guests", {"guests": 0}), tenant_of(b"acme")) == (
        16,
        0,
        "acme",
    )
    for bad in ({}, {"scope": 15}, {"scope": True}, {"scope": 1 << 32}, {"scope": "16"}):
        with pytest.raises(StateDamaged), meaning(PATH, "a tenant's record"):
            scope_of(bad)
    for name in (b"", b"\xff", b"a/b", b"a" * 65):
        with pytest.raises(StateDamaged), meaning(PATH, "a tenant's record"):
            tenant_of(name)
    for number in (-1, 1.0, None, 1 << 64):
        with pytest.raises(StateDamaged), meaning(PATH, "a position"):
            number_of("position", {"position": number})


def test_entries_are_numbered_up_to_the_last_number() -> None:
    """From 1; a key that is no number, and the end of numbers, are damage."""
    assert [key_after(key, PATH).hex() for key in (b"", bytes(8))] == ["0" * 15 + "1"] * 2
    for key in (b"\xff" * 8, b"x", bytes(9)):
        with pytest.raises(StateDamaged, match="the last entry of a table"):
            key_after(key, PATH)


def test_an_entrys_key_is_its_number() -> None:
    """Eight bytes, or damage."""
    assert numbered(bytes(8), PATH) == bytes(8)
    for key in (b"", bytes(7), bytes(9)):
        with pytest.raises(StateDamaged, match="an entry of a table"):
            numbered(key, PATH)
