"""Whose entries of the cache an administrator sees."""

from pathlib import Path
from typing import Final

import pytest

from appliance.domain.outcome import Disposition, Source
from appliance.domain.override import Override
from appliance.domain.tenants import EVERYBODY, Realm
from appliance.domain.verdict import Verdict
from appliance.sight import NoSuchTenant, Sight
from tests.support.svm import Svm, digest_of, running_svm

FIRST, SECOND, THIRD = map(digest_of, (b"1", b"2", b"3"))
BAD = Verdict(Disposition.MALICIOUS, Source.ENGINE, 1, 3600, threat="T", engine="e")
GOOD = Verdict(Disposition.NOT_DETECTED, Source.ENGINE, 1, 3600)
LISTED = Verdict(Disposition.CLEAN, Source.LIST, 0, 3600)
BY_KSN = Verdict(Disposition.CLEAN, Source.KSN, 0, 3600)


class Three:
    """There are three tenants."""

    scopes_by_name: Final = {"default": 16, "acme": 17, "other": 18}

    def scope_of(self, name: str) -> int | None:
        """One's scope."""
        return self.scopes_by_name.get(name)

    def name_of(self, scope: int) -> str:
        """One's name."""
        return next((name for name, its in self.scopes_by_name.items() if its == scope), "")

    def scopes(self) -> list[int]:
        """All of theirs."""
        return [16, 17, 18]


class Reputation:
    """KSN, in which one tenant takes part. shared: whether participants see each other's answers."""

    epoch = 0

    def __init__(self, shared: bool) -> None:
        self.shared = shared

    def takes_part(self, scope: int) -> bool:
        """Acme does."""
        return scope == 17

    def scopes(self) -> list[int]:
        """Its scope."""
        return [17]


def sight_of(svm: Svm) -> Sight:
    """What is seen of its cache."""
    return Sight(Three(), svm.parts.store, svm.parts.protection)


async def test_a_word_is_everybodys_or_one_known_tenants(tmp_path: Path) -> None:
    """It cannot be for somebody who is not there."""
    async with running_svm(tmp_path) as svm:
        sight = sight_of(svm)
        assert (sight.realm(""), sight.realm("acme")) == (EVERYBODY, Realm(17, "acme"))
        with pytest.raises(NoSuchTenant, match="no tenant 'none' is known"):
            sight.realm("none")


async def test_a_tenant_sees_its_own_and_what_is_public(tmp_path: Path) -> None:
    """The provider sees all, the worst first; nobody sees another's."""
    async with running_svm(tmp_path) as svm:
        sight, store = sight_of(svm), svm.parts.store
        store.put(17, FIRST, BAD)
        store.put(18, FIRST, GOOD)
        store.put(0, SECOND, LISTED)
        store.put(18, SECOND, BAD)
        digests = [FIRST, SECOND, THIRD]
        assert sight.entries("acme", digests) == [(BAD, 17), (LISTED, 0), None]
        assert sight.entries("other", digests) == [(GOOD, 18), (BAD, 18), None]
        assert sight.entries("default", digests) == [None, (LISTED, 0), None]
        assert sight.entries("none", digests) == [None, (LISTED, 0), None]
        assert sight.entries("", digests) == [(BAD, 17), (BAD, 18), None]


async def test_words_are_overrides_before_the_cache(tmp_path: Path) -> None:
    """The provider's for everybody, a tenant's for that tenant."""
    async with running_svm(tmp_path) as svm:
        sight, overrides = sight_of(svm), svm.parts.protection.overrides
        svm.parts.store.put(17, FIRST, BAD)
        overrides.put(17, FIRST, Override(True, "ours", "me", 1))
        overrides.put(0, SECOND, Override(False, "all", "provider", 1))

        def outcomes(tenant: str) -> list[Disposition | None]:
            words = sight.words(tenant, [FIRST, SECOND])
            return [None if word is None else word.disposition for word in words]

        assert outcomes("acme") == [Disposition.CLEAN, Disposition.MALICIOUS]
        assert outcomes("other") == [None, Disposition.MALICIOUS]
        assert outcomes("") == [Disposition.MALICIOUS, Disposition.MALICIOUS]


@pytest.mark.parametrize("shared", [False, True])
async def test_who_takes_no_part_sees_nothing_of_ksn(tmp_path: Path, shared: bool) -> None:
    """Not even what it was told while it took part; who does sees what is shared, where that is."""
    async with running_svm(tmp_path) as svm:
        sight, store = sight_of(svm), svm.parts.store
        svm.parts.protection.reputation = Reputation(shared)  # type: ignore[assignment]
        store.put(18, FIRST, BY_KSN)
        store.put(17, FIRST, BY_KSN)
        store.put(1, SECOND, BY_KSN)
        assert sight.entries("other", [FIRST, SECOND]) == [None, None]
        assert sight.entries("acme", [FIRST, SECOND]) == [(BY_KSN, 17), (BY_KSN, 1) if shared else None]
        assert sight.entries("", [FIRST, SECOND]) == [(BY_KSN, 17), (BY_KSN, 1)]
