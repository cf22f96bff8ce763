"""What administrators of two tenants and the provider do, in any order, against a model of it."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.fuzz.estate import PATHS, Do
from tests.fuzz.tenants_door import DoorOfTenants
from tests.fuzz.watched import watched_svm

_PROVIDER, _ACME, _BLUE = range(3)
# Certificates are issued and ended by the provider alone, who has as many turns as each of the others.
_WHAT = [*PATHS, "override", "token", "token", "enrol", "enrol", "enrol"]
_few = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=8)


def changes() -> st.SearchStrategy[list[Do]]:
    """What they do, one after another."""
    who = st.integers(0, 4)
    done = st.builds(Do, who, st.sampled_from(_WHAT), st.integers(0, 2), st.integers(0, 5), st.booleans())
    return st.lists(done, min_size=10, max_size=40)


# Each thing once, by whom it is for and by whom it is not.
EVERYTHING = [
    *(Do(who, what, tenant, 0, flag=True) for what in PATHS for who in range(3) for tenant in range(3)),
]
A_GUESTS_LIFE = [
    Do(_ACME, "token"),
    Do(_PROVIDER, "enrol", which=0),
    Do(_PROVIDER, "enrol", which=0),
    Do(_PROVIDER, "enrol", which=0, flag=True),
    Do(_BLUE, "revoke guest", which=0),
    Do(_BLUE, "token", which=0, flag=True),
    Do(_ACME, "token", which=0, flag=True),
    Do(_ACME, "revoke guest", which=0),
    Do(_PROVIDER, "enrol", which=1),
    Do(_PROVIDER, "token", tenant=1, which=0, flag=True),
    Do(_PROVIDER, "enrol", which=2),
    Do(_BLUE, "remove guest", which=0),
    Do(_ACME, "remove guest", which=0),
    Do(_PROVIDER, "token", tenant=2, which=0, flag=True),
    Do(_PROVIDER, "enrol", which=3),
    Do(_PROVIDER, "revoke", which=0),
    Do(_ACME, "token"),
]

# The provider's word for everybody stands at the end, and the tenants' own beside and below it.
WORDS = [
    Do(_PROVIDER, "override", which=0),
    Do(_ACME, "override", which=0, flag=True),
    Do(_BLUE, "override", which=1, flag=True),
    Do(_PROVIDER, "override", tenant=1, which=1),
]


@pytest.mark.hypothesis
def test_each_sees_and_changes_what_is_his_in_any_order(tmp_path: Path) -> None:
    """Every call ends as the model says; the audit has each change once; nobody reads of another tenant."""
    with watched_svm(tmp_path, DoorOfTenants.making) as play:

        @_few
        @given(changes())
        @example(EVERYTHING)
        @example(A_GUESTS_LIFE)
        @example(WORDS)
        def tell(story: list[Do]) -> None:
            play(story)

        tell()
