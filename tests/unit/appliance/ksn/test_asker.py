"""Who asks."""

import pytest

from appliance.domain.policy import KsnType, Mode
from appliance.ksn.asker import Asker, Standing


def asker(guest: str, scope: int = 16, standing: Standing = Standing.GUEST) -> Asker:
    """On behalf of this guest."""
    return Asker(scope, "tenant", guest, KsnType.PRIVATE, Mode.STANDARD, 1, standing=standing)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (asker("uid-7.pid-2"), True),
        (asker("uid-8.pid-1"), False),
        (asker("uid-7.pid-1", scope=17), False),
        (asker("uid-7.pid-1", standing=Standing.HOUSE), False),
    ],
)
def test_who_pays(other: Asker, same: bool) -> None:
    """All guests of one user in one tenant together; the house is nobody's guest, whatever it is called."""
    assert (asker("uid-7.pid-1").payer == other.payer) is same


def test_a_guest_on_tcp_pays_for_itself() -> None:
    """There its address is all that is known of it."""
    assert asker("ip-10.0.0.1").payer != asker("ip-10.0.0.2").payer
