"""Events of a command of `svm-host`, told to the SVM at once where that can be, else by `svm-host serve`."""

from appliance.cli.console import Console
from appliance.hypervisor.files import StateUnusable
from appliance.hypervisor.inventory.agent import Agent
from appliance.hypervisor.inventory.outbox import Outbox
from appliance.hypervisor.inventory.reporting import agent_of, request_of
from appliance.hypervisor.settings import HostSettings
from appliance.hypervisor.virt.connection import VirtHost
from appliance.hypervisor.virt.domains import host_name, host_uuid
from appliance.hypervisor.virt.line import HostLine
from appliance.rpc.admin_client import AdminClient, AdminError
from appliance.rpc.admin_line import CertificateLine

CALL_SECONDS = 5.0


def tell_svm(settings: HostSettings, host: VirtHost, console: Console) -> None:
    """Send what waits of a host; what the SVM does not take now is said, and waits."""
    outbox = Outbox(settings.state_dir)
    waiting = [(id_, event) for id_, event in outbox.all() if event.host == host.uri]
    if not waiting or not settings.svm.server:
        return
    try:
        agent, line = Agent(settings.state_dir), HostLine(host.uri)
        line.uuid, line.name = agent.host(host.uri, host_uuid(host)), host_name(host)
        with AdminClient(CertificateLine(settings.svm.server, settings.svm.identity), CALL_SECONDS) as svm:
            for id_, event in waiting:
                svm.report_vm_event(request_of(event, agent_of(agent, line)))
                outbox.remove(id_)
    except (AdminError, StateUnusable) as error:
        console.complain(f"the SVM is told of it later, by `svm-host serve`: {error}")
