"""The parts of `svm-host serve`: one line each."""

from typing import Final

from appliance.hypervisor.attest.enrolling import Enrolling
from appliance.hypervisor.inventory.following import Follower
from appliance.hypervisor.inventory.reporting import Reporter
from appliance.hypervisor.isolation.enforcing import Enforcer
from appliance.hypervisor.isolation.policy import IsolationPolicy
from appliance.hypervisor.serving import Makers

PARTS: Final[Makers] = (
    Follower,
    Reporter,
    Enforcer,
    IsolationPolicy,
    Enrolling,
)
