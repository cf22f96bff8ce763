"""The commands of `svm`."""

from collections.abc import Sequence
from importlib import import_module
from typing import Final

from appliance.cli.console import Console
from appliance.cli.parsing import Parser, run_command
from appliance.version import program_version

_DESCRIPTION = """The security virtual machine of KVM Light Agent: it answers the guests of this host
about their files, and scans each file once, however many guests hold it."""

_EPILOG = """examples:
  svm init
  svm serve --config /etc/kvm-light-agent/svm.toml
  svm doctor
  svm status
  svm verdicts set DIGEST --allow --reason "our own installer" --expires 30d
  svm guests list
  svm guests token
  svm events --follow
  svm signatures test /srv/rules
  svm policy create
  svm ksn status
  svm backup /srv/backups/svm-1.backup

environment:
  KVMLA_CONFIG         the settings file, where --config does not name one
  KVMLA_STATE_DIR      wins over server.state_dir of the settings
  KVMLA_ADMIN_SOCKET   the administration socket, where --socket does not name one
  KVMLA_ADMIN_SERVER   HOST:PORT of an SVM on another machine, as --server
  KVMLA_ADMIN_IDENTITY the directory of the certificate for it, as --identity

exit codes:
  0  done
  1  the answer is no: problems were found, nothing is known, an engine is not ready
  2  the command could not do its work; the reason is on stderr

`svm COMMAND --help` tells more of each."""


# In the order of the help; which module of this package has which. What is not named is not imported: all of
# them take half a second, and fifteen seconds in an SVM that boots without KVM.
_COMMANDS: Final = {
    "init": "init",
    "serve": "serve",
    "check-config": "check_config",
    "doctor": "doctor",
    "status": "status",
    "verdicts": "verdicts",
    "audit": "audit",
    "guests": "guests",
    "certificates": "certificates",
    "events": "events",
    "signatures": "signatures",
    "cache": "cache",
    "policy": "policy",
    "ksn": "ksn",
    "backup": "backup",
    "restore": "backup",
    "packet-filter": "packet_filter",
    "host-port": "host_port",
}


def _parser(arguments: Sequence[str]) -> Parser:
    """The parser of the command that is named first; of all where none is."""
    parser = Parser(prog="svm", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"svm {program_version()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    named = _COMMANDS.get(arguments[0]) if arguments else None
    for module in [named] if named else dict.fromkeys(_COMMANDS.values()):
        import_module(f"appliance.cli.{module}").add(commands)
    return parser


def run(arguments: Sequence[str], console: Console) -> int:
    """Run one command of `svm`; return its exit code."""
    return run_command(_parser(arguments), arguments, console)
