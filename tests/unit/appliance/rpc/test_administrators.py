"""Who on this machine may administer."""

import os

import pytest

from appliance.domain.caller import Caller, NotAdmitted, Role
from appliance.rpc.administrators import Rank, Ranks
from appliance.rpc.tickets import PeerCredentials

RANKS = Ranks(
    [
        Rank(Role.PROVIDER, group=990),
        Rank(Role.TENANT_ADMIN, "acme", user=1001),
        Rank(Role.AUDITOR, user=1001),
        Rank(Role.AUDITOR, "acme", group=991),
    ]
)


@pytest.mark.parametrize(
    ("owner", "role", "tenant"),
    [
        (PeerCredentials(0, 0, 7), Role.PROVIDER, ""),
        (PeerCredentials(os.getuid(), 0, 7), Role.PROVIDER, ""),
        (PeerCredentials(5000, 990, 7), Role.PROVIDER, ""),
        (PeerCredentials(5000, 5000, 7, groups=frozenset({990})), Role.PROVIDER, ""),
        (PeerCredentials(1001, 1001, 7), Role.TENANT_ADMIN, "acme"),
        (PeerCredentials(5000, 5000, 7, groups=frozenset({991})), Role.AUDITOR, "acme"),
    ],
)
def test_a_user_or_a_group_has_a_rank(owner: PeerCredentials, role: Role, tenant: str) -> None:
    """root and the SVM's own user have the highest; else the first in the list counts."""
    assert RANKS(owner) == Caller(str(owner), role, tenant)
    assert RANKS.why_not(owner) == ""


def test_everybody_else_is_nobody() -> None:
    """The sentence says whom, and where he would be entered."""
    with pytest.raises(NotAdmitted, match=r"user 5000 is no administrator .*\[administrators\]"):
        RANKS(PeerCredentials(5000, 5000, 7, groups=frozenset({7})))


def test_whether_others_may_come_is_known() -> None:
    """Then the socket has to be open to them."""
    assert RANKS.are_of_others
    assert not Ranks([]).are_of_others
