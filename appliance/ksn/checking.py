"""Tries a service step by step, as `svm ksn check` shows it: each step a line with its result.

Only ever done on behalf of a tenant that takes part: a look-up of the service's name leaves the house too.
The question that is asked stands in the ledger like any other. It goes out also while the service is left
alone, since that is when somebody wants to know; what comes of it counts, so a service that does well again
is asked by everybody from then on. The way there is tried whatever became of the question (`reaching`).

Where the answer is that nothing is known (HTTP 404), a second question follows, about what is no digest: a
service says that this is no question (400), any other web server says again that there is no such page.
"""

from appliance.ksn.asker import Asker, Unknown
from appliance.ksn.asking import Outcome
from appliance.ksn.network import Ksn
from appliance.ksn.reaching import QUOTA, STEP_SECONDS, Place, Step, reach
from appliance.ksn.reputation import Call, Subject, Trouble
from appliance.ksn.zones import Zone

# EICAR's test file, which every service knows.
KNOWN = bytes.fromhex("275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f")

NO_DIGEST = "00"  # of no algorithm that there is

_NO_SERVICE = (
    "what answers there says that it knows nothing (HTTP 404), also of what is no digest, as any web server "
    "does: this is no KSN service, or not the whole of its address: see ksn.endpoint, which ends as the "
    "service's base URL does, https://HOST/api/v1/"
)
_NOTHING_MAY_BE_SENT = frozenset({Trouble.NOT_RECORDED, Trouble.WITHDRAWN})


async def check(ksn: Ksn, place: Place, asker: Asker) -> list[Step]:
    """Try everything that can be tried, and tell it in the order in which a request meets it.

    The question comes first: if the ledger cannot be written, nothing else is sent either, not even for a
    name.
    """
    ksn.asking.try_now()
    outcome = await ksn.look_up(asker, KNOWN, STEP_SECONDS)
    said = await _unknown_there(ksn, asker) if _knows_nothing(outcome) else _answered(outcome)
    left = ksn.asking.quota_left()
    if isinstance(outcome, Unknown) and outcome.why in _NOTHING_MAY_BE_SENT:
        untried = f"not tried: {outcome.reason}"
        steps = [Step("name", False, untried), Step("TLS", False, untried)]
    else:
        steps = await reach(place, lambda: ksn.participants.allows(asker))
    steps += said
    steps.append(
        Step(QUOTA, left != 0, "no limit is set" if left is None else f"{left:,} questions left today")
    )
    return steps


def _knows_nothing(outcome: Outcome) -> bool:
    return not isinstance(outcome, Unknown) and outcome.zone is Zone.NOT_FOUND


async def _unknown_there(ksn: Ksn, asker: Asker) -> list[Step]:
    """Tell a service that does not know the digest from a web server that is none."""
    outcome = await ksn.asking.ask(asker, Subject(Call.HASH, NO_DIGEST), STEP_SECONDS)
    if not isinstance(outcome, Unknown):
        untold = "nobody knows: no KSN service answers there"
        return [Step("credentials", False, untold), Step("known digest", False, _NO_SERVICE)]
    if outcome.why is not Trouble.BAD_QUERY:
        said = f"not found, and whether that is a KSN service is not known: {outcome.reason}"
        return [Step("credentials", False, "nobody knows"), Step("known digest", False, said)]
    said = f"{Zone.NOT_FOUND.value}: the service answers, and does not know this one"
    return [Step("credentials", True, "taken"), Step("known digest", True, said)]


def _answered(outcome: Outcome) -> list[Step]:
    if isinstance(outcome, Unknown):
        said = outcome.reason if outcome.why is Trouble.REFUSED else "nobody knows: no answer came"
        return [Step("credentials", False, said), Step("known digest", False, outcome.reason)]
    name = f", {outcome.threat}" if outcome.threat else ""
    return [Step("credentials", True, "taken"), Step("known digest", True, f"{outcome.zone.value}{name}")]
