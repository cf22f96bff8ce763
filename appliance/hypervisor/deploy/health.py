"""Until an SVM answers: its certificates are fetched where there are none that it knows, then it is asked.

It is asked by the administrators' door, over the network that it shares with the host: an SVM that answers
there with its state has all its doors open.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from appliance.domain.caller import Role
from appliance.hypervisor.deploy.addresses import addresses_of
from appliance.hypervisor.deploy.deployment import Deployment
from appliance.hypervisor.deploy.domain_xml import PORT, console_log
from appliance.hypervisor.deploy.handover import HandoverError, Holder, Port, hand_over
from appliance.hypervisor.deploy.site import DeployError
from appliance.hypervisor.virt import ports
from appliance.hypervisor.virt.connection import VirtError, VirtHost
from appliance.rpc.admin_client import AdminClient, AdminError
from appliance.rpc.admin_line import CertificateLine

_CALL_SECONDS = 5.0
_LOOK_SECONDS = 0.25
_FILES = ("ca.pem", "administrator.pem", "administrator.key")
_NOT_THERE = (
    "no SVM answers on",
    "did not answer within",
    "failed (",
)  # it boots; what else it says is final


@dataclass(frozen=True, slots=True)
class Identities:
    """agent: the host agent's directory; administrator: the first administrator's.

    again: whether the administrator gets a certificate though the SVM is not new. name: the host's.
    """

    agent: Path
    administrator: Path
    name: str
    again: bool = False


class Health:
    """How it is seen that an SVM of this host answers."""

    def __init__(
        self,
        opened: Callable[[str], AbstractContextManager[Port]],
        identities: Identities,
        seconds: float,
        admin: Callable[[Deployment], str] = lambda deployment: addresses_of(deployment).admin,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """opened: the port of a machine. seconds: the longest that it may take. admin: HOST:PORT to ask."""
        self._opened = opened
        self._identities = identities
        self._seconds = seconds
        self._admin = admin
        self._pause = pause
        self.revive: Callable[[float], bool] = lambda _seconds: False  # as VirtHost has it

    @classmethod
    def of(cls, host: VirtHost, identities: Identities, seconds: float) -> Self:
        """By the ports of a host's machines."""
        made = cls(lambda name: ports.opened(host, name, PORT), identities, seconds)
        made.revive = host.revive
        return made

    def reach(self, deployment: Deployment, new: bool) -> list[str]:
        """Return what is worth saying of it, once it answers. Raises DeployError, VirtError.

        new: whether it has not been seen to answer before, and so the administrator has no certificate yet.
        """
        end, said = time.monotonic() + self._seconds, []
        address = self._admin(deployment)
        try:
            if new or self._identities.again or not self._has_one():
                said = self._fetch(deployment, new or self._identities.again, end)
            return said + self._asked(deployment, address, end)
        except HandoverError as error:
            log = console_log(deployment)
            raise DeployError(
                f"{deployment.name} did not become healthy within {self._seconds:g} s: {error}; see {log}"
            ) from error

    def _asked(self, deployment: Deployment, address: str, end: float) -> list[str]:
        fetched, why = False, ""
        while time.monotonic() < end:
            try:
                with AdminClient(CertificateLine(address, self._identities.agent), _CALL_SECONDS) as client:
                    status = client.status()
                return [
                    f"engine {engine.name} is not ready: {engine.problem}"
                    for engine in status.engines
                    if not engine.ready
                ]
            except AdminError as error:
                why = str(error)
            if not fetched and not any(words in why for words in _NOT_THERE):
                self._fetch(deployment, False, end)  # its state is another one: it does not know us, or we it
                fetched = True
            self._pause(_LOOK_SECONDS)
        raise HandoverError(why or "it was not asked in time")

    def _has_one(self) -> bool:
        return all((self._identities.agent / name).is_file() for name in _FILES)

    def _fetch(self, deployment: Deployment, administrator: bool, end: float) -> list[str]:
        own = self._identities
        holders = [Holder(Role.HOST_AGENT, own.name, own.agent)]
        if administrator:
            holders.append(Holder(Role.PROVIDER, "administrator", own.administrator))
        while True:
            try:
                hand_over(lambda: self._opened(deployment.name), holders, end - time.monotonic())
                break
            except (HandoverError, VirtError):
                if not self.revive(max(0.0, end - time.monotonic())):  # its libvirt is there: it is the SVM
                    raise
        return [f"certificate of the {holder.role} {holder.name} in {holder.directory}" for holder in holders]
