"""What `svm doctor` asks an SVM that serves."""

from dataclasses import dataclass, field

from lightagent.v1 import admin_pb2

from appliance.doctor.ksn import KsnSaid, takes_part
from appliance.rpc.admin_client import AdminClient, AdminError
from appliance.rpc.admin_line import SocketLine
from appliance.scanning.result import EngineState, SignatureSource


@dataclass(slots=True)
class Heard:
    """What the SVM says of itself. status: None where it cannot be asked; `why` says why.

    unheard: sentences of what it was asked and did not say.
    """

    status: admin_pb2.GetStatusReply | None = None
    sources: tuple[SignatureSource, ...] = ()
    ksn: KsnSaid | None = None
    why: str = ""
    unheard: list[str] = field(default_factory=list)

    @property
    def engines(self) -> list[EngineState]:
        """How its engines are."""
        found = [] if self.status is None else self.status.engines
        return [
            EngineState(each.name, each.version, each.ready, each.problem, each.signatures) for each in found
        ]


def hear(socket: str, online: bool) -> Heard:
    """Ask the SVM on a socket, if one serves. online: also whether KSN answers, which sends something."""
    heard = Heard()
    try:
        with AdminClient(SocketLine(socket)) as client:
            heard.status = client.status()
            try:
                heard.sources = tuple(
                    SignatureSource(each.engine, each.path, each.signatures, tuple(each.problems))
                    for each in client.signatures().sources
                )
                heard.ksn = _ksn(client, online)
            except AdminError as error:
                heard.unheard.append(str(error))
    except AdminError as error:
        heard.why = str(error)
    return heard


def _ksn(client: AdminClient, online: bool) -> KsnSaid:
    policies = client.policies().policies
    status = client.ksn_status("")
    part = [policy.tenant for policy in policies if takes_part(policy)]
    checks = {tenant: client.check_ksn(tenant).checks for tenant in part[:1]} if online else {}
    return KsnSaid(status, part, len(policies), checks)
