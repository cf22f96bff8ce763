"""Tries a service step by step, as `svm ksn check` shows it: each step a line with its result.

Only ever done on behalf of a tenant that takes part: a look-up of the service's name leaves the house too.
The question that is asked stands in the ledger like any other. It goes out also while the service is left
alone, since that is when somebody wants to know; what comes of it counts, so a service that does well again
is asked by everybody from then on. The way there is tried whatever became of the question (`reaching`).
"""

from appliance.ksn.asker import Asker, Unknown
from appliance.ksn.asking import Outcome
from appliance.ksn.network import Ksn
from appliance.ksn.reaching import QUOTA, STEP_SECONDS, Place, Step, reach
from appliance.ksn.reputation import Trouble

# EICAR's test file, which every service knows.
KNOWN = bytes.fromhex("275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f")

_NOTHING_MAY_BE_SENT = frozenset({Trouble.NOT_RECORDED, Trouble.WITHDRAWN})


async def check(ksn: Ksn, place: Place, asker: Asker) -> list[Step]:
    """Try everything that can be tried, and tell it in the order in which a request meets it.

    The question comes first: if the ledger cannot be written, nothing else is sent either, not even for a
    name.
    """
    ksn.asking.try_now()
    outcome = await ksn.look_up(asker, KNOWN, STEP_SECONDS)
    left = ksn.asking.quota_left()
    if isinstance(outcome, Unknown) and outcome.why in _NOTHING_MAY_BE_SENT:
        untried = f"not tried: {outcome.reason}"
        steps = [Step("name", False, untried), Step("TLS", False, untried)]
    else:
        steps = await reach(place, lambda: ksn.participants.allows(asker))
    steps += _answered(outcome)
    steps.append(
        Step(QUOTA, left != 0, "no limit is set" if left is None else f"{left:,} questions left today")
    )
    return steps


def _answered(outcome: Outcome) -> list[Step]:
    if isinstance(outcome, Unknown):
        said = outcome.reason if outcome.why is Trouble.REFUSED else "nobody knows: no answer came"
        return [Step("credentials", False, said), Step("known digest", False, outcome.reason)]
    name = f", {outcome.threat}" if outcome.threat else ""
    return [Step("credentials", True, "taken"), Step("known digest", True, f"{outcome.zone.value}{name}")]
