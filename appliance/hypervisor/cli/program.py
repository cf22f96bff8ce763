"""The commands of `svm-host`."""

from collections.abc import Sequence

from appliance.cli.console import Console
from appliance.cli.parsing import Parser, run_command
from appliance.hypervisor.cli import deploy, enrol, image, isolate, scan_image, serve, undeploy, upgrade, vms
from appliance.version import program_version

_DESCRIPTION = """The host agent of KVM Light Agent: it deploys the security virtual machine (SVM) on this
KVM host, tells it which machines there are, and hands them what they need to enrol."""

_EPILOG = """examples:
  svm-host image build svm --output svm.qcow2
  svm-host deploy --image svm.qcow2
  svm-host vms
  svm-host serve --config /etc/kvm-light-agent/svm-host.toml
  svm-host enrol web-1
  svm-host isolate web-3 --reason "what was seen"
  svm-host release web-3
  svm-host scan-image /var/lib/libvirt/images/template.qcow2 --seed

environment:
  KVMLA_HOST_CONFIG    the settings file, where --config does not name one

exit codes:
  0  done
  1  the answer is no
  2  the command could not do its work; the reason is on stderr

`svm-host COMMAND --help` tells more of each."""


def _parser() -> Parser:
    parser = Parser(prog="svm-host", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"svm-host {program_version()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    for command in (image, deploy, upgrade, undeploy, vms, serve, enrol, isolate, scan_image):
        command.add(commands)
    return parser


def run(arguments: Sequence[str], console: Console) -> int:
    """Run one command of `svm-host`; return its exit code."""
    return run_command(_parser(), arguments, console)
